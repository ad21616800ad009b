/** A console for tests: real gRPC clients over real TLS, and the console's half of an enrolment. */
import { credentials, Metadata, status as Code } from '@grpc/grpc-js';
import type { CallOptions, Client, ClientOptions, ServiceError } from '@grpc/grpc-js';
import { randomBytes, X509Certificate } from 'node:crypto';
import { connect, createSecureContext } from 'node:tls';
import { EnrollmentServiceClient } from '../../proto/gen/nest/v1/enrollment.ts';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { completeFields } from '../../proto/model/enrollment.ts';
import type { Transcript } from '../../proto/model/enrollment.ts';
import { proofOf, spkiHash } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet, TestToken } from '../control/identity/test-fleet.ts';
import { detailsKey } from './grpc-status.ts';

/** What the test saw of a refusal. */
export interface Refused {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

type ClientType<T extends Client> = new (address: string, channel: ReturnType<typeof credentials.createSsl>, options?: ClientOptions) => T;

export interface Dial {
  readonly port: number;
  readonly certificate: TestCertificate | null;
}

/** A client on loopback that takes any server certificate: what the server believes is under test here. */
export const dial = <T extends Client>(type: ClientType<T>, { port, certificate }: Dial): T => {
  const context = createSecureContext(certificate === null ? {} : { cert: certificate.certificatePem, key: certificate.keyPem });
  const channel = credentials.createFromSecureContext(context, { rejectUnauthorized: false, checkServerIdentity: () => undefined });
  return new type(`127.0.0.1:${port}`, channel, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': 'agent.nest.internal',
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
  });
};

/** A unary call as a promise; without `deadlineMs` it has no deadline. */
export const ask = <Request, Response>(
  call: (
    ...args: [
      request: Request,
      metadata: Metadata,
      options: Partial<CallOptions>,
      done: (error: ServiceError | null, response: Response) => void,
    ]
  ) => unknown,
  request: Request,
  deadlineMs: number | null = 10_000,
): Promise<Response> =>
  new Promise((resolve, reject) => {
    call(request, new Metadata(), deadlineMs === null ? {} : { deadline: Date.now() + deadlineMs }, (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });

/** The refusal of a call that must fail. */
export const refusalOf = async (call: Promise<unknown>): Promise<Refused> => {
  try {
    await call;
  } catch (error) {
    return describeRefusal(error as ServiceError);
  }
  throw new Error('the call was served');
};

/** Code, reason and message of a failed call. */
export const describeRefusal = (error: ServiceError): Refused => {
  const details = error.metadata?.get(detailsKey)[0];
  const any = details instanceof Buffer ? Status.decode(details).details[0] : undefined;
  return {
    status: Code[error.code] ?? 'none',
    reason: any === undefined ? '' : ErrorInfo.decode(any.value).reason,
    message: error.details,
  };
};

/** SHA-256 of the public key that a server on loopback shows. */
const serverSpkiHash = (port: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      socket.destroy();
      resolve(spkiHash(certificate.publicKey));
    });
    socket.once('error', reject);
  });

export interface EnrollOptions {
  readonly port: number;
  readonly fleet: TestFleet;
  readonly token: TestToken;
  readonly operator: TestCertificate;
  /** Goes on although the agent's proof is wrong, as an attacker's console would. */
  readonly trusting?: boolean;
  /** Changes the console's proof before it is sent. */
  readonly tamperProof?: (proof: Buffer) => Buffer;
  readonly tamperMac?: (mac: Buffer) => Buffer;
  /** Delivers this root instead of the fleet's. */
  readonly deliverRoot?: Buffer;
}

/** The console's half of an enrolment; returns the agent id. Throws the agent's refusal, or Error when the agent's proof is wrong. */
export const enroll = async (options: EnrollOptions): Promise<string> => {
  const { port, fleet, token, operator } = options;
  const agentSpkiHash = await serverSpkiHash(port);
  const client = dial(EnrollmentServiceClient, { port, certificate: operator });
  try {
    const consoleNonce = randomBytes(32);
    const { agentNonce, agentProof } = await ask(client.begin.bind(client), { tokenId: token.id, consoleNonce });
    const transcript: Transcript = {
      tokenId: token.id,
      consoleNonce,
      agentNonce,
      consoleSpkiHash: operator.spkiHash,
      agentSpkiHash,
      rootSpkiHash: token.rootSpkiHash,
    };
    if (!proofOf(token, { label: 'nest agent', transcript }).equals(agentProof) && options.trusting !== true)
      throw new Error('the agent does not know the token, or somebody is in between');
    const proof = proofOf(token, { label: 'nest console', transcript });
    const { signingRequest } = await ask(client.prove.bind(client), {
      tokenId: token.id,
      consoleProof: options.tamperProof?.(proof) ?? proof,
    });
    const certificateChain = await fleet.signAgent(signingRequest);
    const fleetRoot = options.deliverRoot ?? fleet.root.certificateDer;
    const mac = proofOf(token, { label: 'nest complete', transcript, extra: completeFields(fleet.fleetId, fleetRoot, certificateChain) });
    const delivery = { tokenId: token.id, certificateChain, fleetRoot, fleetId: fleet.fleetId, mac: options.tamperMac?.(mac) ?? mac };
    const { agentId } = await ask(client.complete.bind(client), delivery);
    return agentId;
  } finally {
    client.close();
  }
};
