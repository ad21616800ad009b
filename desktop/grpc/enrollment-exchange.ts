/**
 * The console's half of an enrolment. The agent's certificate is its own making, so TLS proves nothing: its key, as seen in this
 * very TLS connection, goes into proofs under the one-time token's secret, and who stands in between has another key.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { HostFacts } from '../../proto/gen/nest/v1/host.ts';
import { EnrollmentServiceService } from '../../proto/gen/nest/v1/enrollment.ts';
import { NestError } from '../../proto/model/error.ts';
import {
  completeFields,
  nonceBytes,
  proofInput,
  spkiHashBytes,
  tokenIdBytes,
  tokenKeyInfo,
  tokenPrefix,
  tokenSecretBytes,
} from '../../proto/model/enrollment.ts';
import type { ProofLabel, Transcript } from '../../proto/model/enrollment.ts';
import type { RandomBytes } from '../lib/api.ts';
import { callUnary } from './call.ts';
import { openChannel } from './channel.ts';
import type { Channel, Endpoint } from './channel.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import { spkiSha256Of } from './peer-identity.ts';
import { enrollmentStepTimeoutMs } from './wire-limits.ts';

/** A one-time token. `key` proves possession; the console needs neither text nor secret after making it. */
export interface JoinToken {
  readonly id: Uint8Array;
  readonly key: Uint8Array;
  readonly rootSpkiHash: Uint8Array;
  /** What the operator types on the host. */
  readonly text: string;
}

/** What an agent that proved the token says about itself. */
export interface EnrollmentProof {
  /** SHA-256 of the agent's public key (SPKI), lower-case hex. */
  readonly spkiSha256: string;
  /** PKCS#10, DER; its key is the one of the TLS connection only if the signer has checked that. */
  readonly signingRequest: Uint8Array;
  readonly facts: HostFacts | undefined;
}

export interface EnrollmentExchange {
  /** Connects and proves the token both ways. HOST_UNREACHABLE while nothing listens; PROOF_INVALID when the agent, or who claims to be it, does not know the token. */
  prove(signal: AbortSignal): Promise<EnrollmentProof>;
  /** Delivers the certificate over the connection of `prove` and returns the agent's id. The token is spent afterwards. */
  complete(
    delivery: { readonly certificateChain: readonly Uint8Array[]; readonly fleetRoot: Uint8Array; readonly fleetId: string },
    signal: AbortSignal,
  ): Promise<string>;
  close(): void;
}

/** Makes a token bound to the fleet's root. */
export const joinTokenOf = (rootSpkiHash: Uint8Array, random: RandomBytes): JoinToken => {
  const id = random(tokenIdBytes);
  const secret = random(tokenSecretBytes);
  const text = tokenPrefix + Buffer.concat([id, secret, rootSpkiHash.subarray(0, spkiHashBytes)]).toString('base64url');
  const key = new Uint8Array(hkdfSync('sha256', secret, id, tokenKeyInfo, 32));
  return { id, key, rootSpkiHash, text };
};

interface EnrollmentExchangeOptions {
  readonly endpoint: Endpoint;
  readonly operator: OperatorIdentity;
  readonly token: JoinToken;
  readonly random: RandomBytes;
}

/** An exchange over one connection; make another to try again. */
export const createEnrollmentExchange = (options: EnrollmentExchangeOptions): EnrollmentExchange => {
  const { token, operator } = options;
  let agentSpkiHash: Uint8Array | undefined;
  let transcript: Transcript | undefined;
  const channel: Channel = openChannel(options.endpoint, {
    operator,
    serverName: 'enrollment.agent.nest.internal',
    sessionKey: null,
    isChainVerified: false,
    judge: (certificate) => {
      const hash = new Uint8Array(spkiSha256Of(certificate));
      if (agentSpkiHash !== undefined && !timingSafeEqual(agentSpkiHash, hash)) return keyChanged();
      agentSpkiHash = hash;
      return undefined;
    },
  });
  const prove = async (signal: AbortSignal): Promise<EnrollmentProof> => {
    const call = { signal, deadlineMs: enrollmentStepTimeoutMs };
    const consoleNonce = options.random(nonceBytes);
    const begun = await callUnary(channel, EnrollmentServiceService.begin, {
      request: { tokenId: Buffer.from(token.id), consoleNonce: Buffer.from(consoleNonce) },
      ...call,
    });
    if (agentSpkiHash === undefined || begun.agentNonce.length !== nonceBytes) throw proofInvalid();
    const offered: Transcript = {
      tokenId: token.id,
      consoleNonce,
      agentNonce: begun.agentNonce,
      consoleSpkiHash: operator.spkiSha256,
      agentSpkiHash,
      rootSpkiHash: token.rootSpkiHash,
    };
    // The agent proves first: nothing that helps a guesser leaves before.
    if (!isEqual(begun.agentProof, proofOf(token, 'nest agent', { transcript: offered }))) throw proofInvalid();
    transcript = offered;
    const proven = await callUnary(channel, EnrollmentServiceService.prove, {
      request: { tokenId: Buffer.from(token.id), consoleProof: proofOf(token, 'nest console', { transcript: offered }) },
      ...call,
    });
    return {
      spkiSha256: Buffer.from(agentSpkiHash).toString('hex'),
      signingRequest: new Uint8Array(proven.signingRequest),
      facts: proven.facts,
    };
  };
  return {
    prove,
    complete: async ({ certificateChain, fleetRoot, fleetId }, signal) => {
      if (transcript === undefined)
        throw new NestError('ENROLLMENT_CLOSED', 'The agent has not proved its token yet. Wait for its fingerprint.');
      const mac = proofOf(token, 'nest complete', { transcript, extra: completeFields(fleetId, fleetRoot, certificateChain) });
      const request = {
        tokenId: Buffer.from(token.id),
        certificateChain: certificateChain.map((der) => Buffer.from(der)),
        fleetRoot: Buffer.from(fleetRoot),
        fleetId,
        mac,
      };
      return (await callUnary(channel, EnrollmentServiceService.complete, { request, signal, deadlineMs: enrollmentStepTimeoutMs }))
        .agentId;
    },
    close: () => {
      channel.close();
    },
  };
};

const proofOf = (
  token: JoinToken,
  label: ProofLabel,
  said: { readonly transcript: Transcript; readonly extra?: readonly Uint8Array[] },
): Buffer =>
  createHmac('sha256', token.key)
    .update(proofInput(label, said.transcript, said.extra))
    .digest();

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);

const proofInvalid = (): NestError =>
  new NestError(
    'PROOF_INVALID',
    'What answers at this address does not know the token. Check the address, and make sure that the token was typed on that host; somebody may stand in between.',
  );

const keyChanged = (): NestError =>
  new NestError('IDENTITY_MISMATCH', 'The key at this address changed during the enrolment. Make a new token and check the network.');
