import { createHmac, timingSafeEqual } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import { completeFields, nonceBytes, proofInput, spkiHashBytes } from '../../../proto/model/enrollment.ts';
import type { ProofLabel, Transcript } from '../../../proto/model/enrollment.ts';
import { enrollmentAttemptsMax } from '../../../proto/model/limits.ts';
import type { RandomSource } from '../../lib/random.ts';
import type { ChainOffer } from './certificate-chain.ts';
import type { TokenKey } from './token.ts';

/** Consoles that may be in the middle of an enrolment at once; the oldest gives way. */
const consolesMax = 8;

interface Conversation {
  readonly transcript: Transcript;
  proven: boolean;
}

/**
 * The proofs of one open enrolment. Every conversation belongs to the key the console showed in TLS, so two consoles
 * cannot disturb each other, and every wrong proof costs one of five attempts.
 */
export interface Handshake {
  readonly attemptsLeft: number;
  /** Answers with the agent's nonce and proof. Throws INPUT_INVALID. */
  begin(consoleSpkiHash: Uint8Array, consoleNonce: Uint8Array): { readonly agentNonce: Uint8Array; readonly agentProof: Uint8Array };
  /** Throws PROOF_INVALID. */
  prove(consoleSpkiHash: Uint8Array, consoleProof: Uint8Array): void;
  /** Checks the code over the whole delivery; only after a good proof. Throws PROOF_INVALID. */
  checkDelivery(consoleSpkiHash: Uint8Array, offer: ChainOffer, mac: Uint8Array): void;
}

/** Starts with all attempts and no conversation. */
export const createHandshake = (token: TokenKey, agentSpkiHash: Uint8Array, random: RandomSource): Handshake => {
  const conversations = new Map<string, Conversation>();
  let attemptsLeft = enrollmentAttemptsMax;
  const name = (spkiHash: Uint8Array): string => Buffer.from(spkiHash).toString('hex');
  const proof = (label: ProofLabel, transcript: Transcript, extra?: readonly Uint8Array[]): Buffer =>
    createHmac('sha256', token.key)
      .update(proofInput(label, transcript, extra))
      .digest();
  const converse = (spkiHash: Uint8Array): Conversation => {
    const conversation = conversations.get(name(spkiHash));
    if (conversation === undefined)
      throw new NestError('PROOF_INVALID', 'This console has not begun the enrolment on this agent. Start the enrolment again.');
    return conversation;
  };
  /** A wrong proof ends the conversation: the next try needs fresh nonces. */
  const expect = (expected: Buffer, given: Uint8Array, spkiHash: Uint8Array): void => {
    if (given.length === expected.length && timingSafeEqual(expected, given)) return;
    conversations.delete(name(spkiHash));
    attemptsLeft--;
    throw new NestError(
      'PROOF_INVALID',
      `The proof does not fit the join token: somebody may be between console and host, or the token is another one. ${attemptsLeft} attempts are left.`,
      {
        details: { attemptsLeft },
      },
    );
  };
  return {
    get attemptsLeft() {
      return attemptsLeft;
    },
    begin: (consoleSpkiHash, consoleNonce) => {
      if (consoleNonce.length !== nonceBytes || consoleSpkiHash.length !== spkiHashBytes)
        throw new NestError('INPUT_INVALID', `The nonce has ${consoleNonce.length} bytes, ${nonceBytes} are needed. Update the console.`);
      const agentNonce = random.bytes(nonceBytes);
      const transcript: Transcript = {
        tokenId: token.id,
        consoleNonce: Uint8Array.from(consoleNonce),
        agentNonce,
        consoleSpkiHash: Uint8Array.from(consoleSpkiHash),
        agentSpkiHash,
        rootSpkiHash: token.rootSpkiHash,
      };
      conversations.delete(name(consoleSpkiHash));
      conversations.set(name(consoleSpkiHash), { transcript, proven: false });
      const [oldest] = conversations.keys();
      if (conversations.size > consolesMax && oldest !== undefined) conversations.delete(oldest);
      return { agentNonce, agentProof: proof('nest agent', transcript) };
    },
    prove: (consoleSpkiHash, consoleProof) => {
      const conversation = converse(consoleSpkiHash);
      expect(proof('nest console', conversation.transcript), consoleProof, consoleSpkiHash);
      conversation.proven = true;
    },
    checkDelivery: (consoleSpkiHash, offer, mac) => {
      const conversation = converse(consoleSpkiHash);
      if (!conversation.proven)
        throw new NestError('PROOF_INVALID', 'This console has not proven the join token yet. Start the enrolment again.');
      expect(
        proof('nest complete', conversation.transcript, completeFields(offer.fleetId, offer.fleetRoot, offer.certificateChain)),
        mac,
        consoleSpkiHash,
      );
    },
  };
};
