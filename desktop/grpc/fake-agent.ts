/** A small agent for tests: real TLS and real gRPC on loopback, state in memory, nothing happens unless a test says so. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { X509Certificate, createHash, createHmac, hkdfSync, randomBytes, webcrypto } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
// Decorator metadata is what the X.509 library describes its ASN.1 with; it must be loaded before it.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import {
  ConfigRevision,
  ConfigRevision_State,
  ConfigServiceService,
  PlanConfigResponse,
  RollbackConfigResponse,
} from '../../proto/gen/nest/v1/config.ts';
import type {
  ApplyConfigRequest,
  ApplyConfigResponse,
  ConfirmConfigRequest,
  GetConfigRequest,
  PlanConfigRequest,
  RollbackConfigRequest,
} from '../../proto/gen/nest/v1/config.ts';
import type {
  BeginRequest,
  BeginResponse,
  CompleteRequest,
  CompleteResponse,
  ProveRequest,
  ProveResponse,
} from '../../proto/gen/nest/v1/enrollment.ts';
import { EnrollmentServiceService } from '../../proto/gen/nest/v1/enrollment.ts';
import { FlowServiceService } from '../../proto/gen/nest/v1/flow.ts';
import { HostFacts, HostServiceService, HostStatus, PolicyStatus_Mode } from '../../proto/gen/nest/v1/host.ts';
import type { GetHostResponse, WatchStatusRequest, WatchStatusResponse } from '../../proto/gen/nest/v1/host.ts';
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import type { AuthenticateRequest, AuthenticateResponse, HelloRequest, HelloResponse } from '../../proto/gen/nest/v1/session.ts';
import { TrafficServiceService } from '../../proto/gen/nest/v1/traffic.ts';
import { proofInput, tokenKeyInfo, tokenPrefix } from '../../proto/model/enrollment.ts';
import type { ProofLabel, Transcript } from '../../proto/model/enrollment.ts';
import { NestError } from '../../proto/model/error.ts';
import { sessionMetadata } from '../../proto/model/step-up.ts';
import { answer, statusOf } from './fake-answer.ts';
import { createFakeTraffic, flowService, trafficService } from './fake-traffic.ts';
import type { FakeTraffic } from './fake-traffic.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface FakeAgentState extends FakeTraffic {
  status: HostStatus;
  revisions: ConfigRevision[];
  plan: PlanConfigResponse;
  /** What the next apply, confirm or roll back answers instead of doing anything. */
  refusal: NestError | null;
  /** Applies and confirms are held until it resolves. */
  hold: Promise<void> | null;
  /** Answers plainly wrong proofs, as who does not know the token would. */
  isImpostor: boolean;
  /** Plans are refused with MFA_REQUIRED without this token, which the agent gives to whoever shows statements; null: not asked. */
  sessionToken: string | null;
  clockOffsetMs: number;
  transactions: string[];
}

export interface FakeAgent {
  readonly port: number;
  /** SHA-256 of its SPKI, hex. */
  readonly fingerprint: string;
  readonly state: FakeAgentState;
  readonly agentId: string;
  /** What `nest-agent join` does. */
  join(token: string): void;
  /** Sends the status to everyone who watches. */
  emit(): void;
  /** Takes the pending revision back as the dead-man timer would. */
  expire(): void;
  /** Ends every status stream as an agent does whose caller was locked out. */
  lockOut(): void;
  /** Cuts every connection and listens no more. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** An agent that has not joined anything yet, listening on loopback. */
export const createFakeAgent = async (): Promise<FakeAgent> => {
  const { keyPem, selfSigned, signingRequest, spkiHash } = await makeKeys();
  const state = initialState();
  const watchers = new Set<ServerWritableStream<WatchStatusRequest, WatchStatusResponse>>();
  let identity: FakeIdentity = { certificate: selfSigned.toString('pem'), root: undefined, agentId: '', fleetId: '' };
  let token: FakeToken | undefined;
  const peers = new Map<string, Buffer>();
  const strangers = new Set<string>();
  const sockets = new Set<TLSSocket>();
  let close = (): Promise<void> => Promise.resolve();
  let restarted: Promise<void> = Promise.resolve();
  let port = 0;
  let sequence = 0n;

  const enrollment = createEnrollment({
    state,
    spkiHash,
    signingRequest,
    token: () => token,
    peerHashOf: (peer) => peers.get(peer),
    onEnrolled: (joined) => {
      identity = joined;
      token = undefined;
      // The answer leaves first.
      restarted = sleep(50).then(restart);
    },
  });
  const listen = async (): Promise<void> => {
    const serving = new Server({ 'grpc.max_receive_message_length': 4 << 20 });
    if (identity.root === undefined) serving.addService(EnrollmentServiceService, enrollment);
    else addServices(serving, { state, watchers, strangers, identity: () => identity, emit });
    const tls = createFront(serving, { identity, keyPem, sockets, peers, strangers });
    tls.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => tls.listen(port, '127.0.0.1', resolve));
    port = (tls.address() as AddressInfo).port;
    close = () => closeFront({ tls, serving, sockets, watchers });
  };
  const restart = async (): Promise<void> => {
    await close();
    await listen();
  };
  const emit = (): void => {
    sequence += 1n;
    const status = { ...state.status, timeMs: BigInt(Date.now() + state.clockOffsetMs) };
    for (const watcher of watchers) watcher.write({ position: { sequence, lost: 0n }, status });
  };
  await listen();
  return {
    get port() {
      return port;
    },
    fingerprint: spkiHash.toString('hex'),
    state,
    get agentId() {
      return identity.agentId;
    },
    join: (text) => {
      token = tokenOf(text);
    },
    emit,
    expire: () => {
      settlePending(state, { state: ConfigRevision_State.ROLLED_BACK, reason: 'Not confirmed in time.' });
      emit();
    },
    lockOut: () => lockOut(watchers),
    // A restart on its way would listen again behind our back.
    stop: () => restarted.then(() => close()),
    start: listen,
  };
};

const lockOut = (watchers: Set<ServerWritableStream<WatchStatusRequest, WatchStatusResponse>>): void => {
  const refusal = statusOf(new NestError('REVOKED', 'You are locked out.'));
  for (const watcher of watchers) watcher.emit('error', Object.assign(new Error('REVOKED'), refusal));
  watchers.clear();
};

const closeFront = async (open: {
  readonly tls: TlsServer;
  readonly serving: Server;
  readonly sockets: ReadonlySet<TLSSocket>;
  readonly watchers: Set<unknown>;
}): Promise<void> => {
  const closed = new Promise((resolve) => open.tls.close(resolve));
  open.serving.forceShutdown();
  for (const socket of open.sockets) socket.destroy();
  open.watchers.clear();
  await closed;
};

interface FrontParts {
  readonly identity: FakeIdentity;
  readonly keyPem: string;
  readonly sockets: Set<TLSSocket>;
  readonly peers: Map<string, Buffer>;
  readonly strangers: Set<string>;
}

/** TLS in front, as agents have it: the key the console showed is known by its connection. */
const createFront = (serving: Server, { identity, keyPem, sockets, peers, strangers }: FrontParts): TlsServer => {
  const injector = serving.createConnectionInjector(ServerCredentials.createInsecure());
  const { certificate, root } = identity;
  const trust = root === undefined ? {} : { ca: root };
  return createServer(
    { cert: certificate, key: keyPem, ALPNProtocols: ['h2'], requestCert: true, rejectUnauthorized: false, ...trust },
    (socket) => {
      const peer = `${socket.remoteAddress ?? ''}:${String(socket.remotePort)}`;
      sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
      if (!socket.authorized) strangers.add(peer);
      peers.set(peer, peerHash(socket));
      injector.injectConnection(socket);
    },
  );
};

interface FakeToken {
  readonly id: Buffer;
  readonly key: Buffer;
  readonly rootHash: Buffer;
}

interface FakeIdentity {
  readonly certificate: string;
  readonly root: string | undefined;
  readonly agentId: string;
  readonly fleetId: string;
}

const tokenOf = (text: string): FakeToken => {
  const bytes = Buffer.from(text.slice(tokenPrefix.length), 'base64url');
  const id = bytes.subarray(0, 16);
  return { id, key: Buffer.from(hkdfSync('sha256', bytes.subarray(16, 48), id, tokenKeyInfo, 32)), rootHash: bytes.subarray(48) };
};

interface EnrollmentParts {
  readonly state: FakeAgentState;
  readonly spkiHash: Buffer;
  readonly signingRequest: Buffer;
  readonly token: () => FakeToken | undefined;
  readonly peerHashOf: (peer: string) => Buffer | undefined;
  readonly onEnrolled: (identity: FakeIdentity) => void;
}

const createEnrollment = ({
  state,
  spkiHash,
  signingRequest,
  token,
  peerHashOf,
  onEnrolled,
}: EnrollmentParts): UntypedServiceImplementation => {
  let transcript: Transcript | undefined;
  const proof = (label: ProofLabel): Buffer =>
    createHmac('sha256', token()?.key ?? '')
      .update(proofInput(label, transcript as Transcript))
      .digest();
  return {
    begin: answer<BeginRequest, BeginResponse>(async ({ tokenId, consoleNonce }, call) => {
      const expected = token();
      if (expected === undefined) throw new NestError('ENROLLMENT_CLOSED', 'Closed.');
      if (!expected.id.equals(tokenId)) throw new NestError('TOKEN_INVALID', 'Another token is expected.');
      transcript = {
        tokenId,
        consoleNonce,
        agentNonce: randomBytes(32),
        consoleSpkiHash: peerHashOf(call.getPeer()) ?? Buffer.alloc(32),
        agentSpkiHash: spkiHash,
        rootSpkiHash: expected.rootHash,
      };
      return { agentNonce: Buffer.from(transcript.agentNonce), agentProof: state.isImpostor ? randomBytes(32) : proof('nest agent') };
    }),
    prove: answer<ProveRequest, ProveResponse>(async ({ consoleProof }) => {
      if (!consoleProof.equals(proof('nest console'))) throw new NestError('PROOF_INVALID', 'The proof is wrong.');
      return { signingRequest, facts: HostFacts.fromPartial({ hostName: 'edge', kernel: '6.1', operatingSystem: 'Debian 12' }) };
    }),
    complete: answer<CompleteRequest, CompleteResponse>(async ({ certificateChain, fleetRoot, fleetId }) => {
      const [leaf] = certificateChain;
      if (leaf === undefined) throw new NestError('CERTIFICATE_INVALID', 'No leaf.');
      const certificate = new X509Certificate(leaf);
      const agentId = /URI:spiffe:\/\/[^/]+\/agent\/(\w+)/.exec(certificate.subjectAltName ?? '')?.[1] ?? '';
      onEnrolled({
        certificate: certificateChain.map((der) => new X509Certificate(der).toString()).join(''),
        root: new X509Certificate(fleetRoot).toString(),
        agentId,
        fleetId,
      });
      return { agentId };
    }),
  };
};

const makeKeys = async (): Promise<{
  readonly keyPem: string;
  readonly selfSigned: x509.X509Certificate;
  readonly signingRequest: Buffer;
  readonly spkiHash: Buffer;
}> => {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const keyPem = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  const selfSigned = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=agent',
    notBefore: new Date(0),
    notAfter: new Date(4e12),
    signingAlgorithm: algorithm,
    keys,
  });
  const signingRequest = Buffer.from(
    (await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=agent', keys, signingAlgorithm: algorithm })).rawData,
  );
  const spkiHash = createHash('sha256').update(new Uint8Array(selfSigned.publicKey.rawData)).digest();
  return { keyPem, selfSigned, signingRequest, spkiHash };
};

const initialState = (): FakeAgentState => ({
  status: HostStatus.fromPartial({
    memoryTotalBytes: 8n << 30n,
    memoryUsedBytes: 1n << 30n,
    flows: 3n,
    flowsMax: 1000n,
    policy: { mode: PolicyStatus_Mode.ENFORCE, revision: 0n, generation: 'g0', desiredGeneration: 'g0' },
  }),
  revisions: [ConfigRevision.fromPartial({ revision: 0n, policyJson: '{}', generation: 'g0', state: ConfigRevision_State.CONFIRMED })],
  ...createFakeTraffic(),
  plan: PlanConfigResponse.fromPartial({
    planHash: 'a'.repeat(64),
    generation: 'g1',
    canApply: true,
    managementReachable: true,
    impact: { replayed: 10n, unchanged: 8n, cut: 2n },
  }),
  refusal: null,
  hold: null,
  isImpostor: false,
  sessionToken: null,
  clockOffsetMs: 0,
  transactions: [],
});

interface Serving {
  readonly state: FakeAgentState;
  readonly watchers: Set<ServerWritableStream<WatchStatusRequest, WatchStatusResponse>>;
  /** Peers without a certificate of the fleet: told so at their first call. */
  readonly strangers: ReadonlySet<string>;
  readonly identity: () => { readonly agentId: string; readonly fleetId: string };
  readonly emit: () => void;
}

const addServices = (server: Server, { state, watchers, strangers, identity, emit }: Serving): void => {
  const refuse = async (): Promise<void> => {
    await state.hold;
    const { refusal } = state;
    if (refusal !== null) throw refusal;
  };
  server.addService(SessionServiceService, {
    hello: answer<HelloRequest, HelloResponse>(async (_request, call) => {
      if (strangers.has(call.getPeer()))
        throw new NestError('CERTIFICATE_INVALID', 'Your certificate is not signed by the root of this fleet.');
      return { ...identity(), agentVersion: '1.2.3', features: [], timeMs: BigInt(Date.now() + state.clockOffsetMs), subject: '' };
    }),
    authenticate: answer<AuthenticateRequest, AuthenticateResponse>(async ({ statements }) => {
      if (state.sessionToken === null || statements.length === 0) throw new NestError('MFA_WRONG', 'Nothing was proven.');
      return { token: state.sessionToken, lifeMs: 900_000, freshMs: 300_000 };
    }),
  });
  server.addService(HostServiceService, {
    getHost: answer<object, GetHostResponse>(async () => ({
      facts: HostFacts.fromPartial({ hostName: 'edge', agentVersion: '1.2.3', kernel: '6.1' }),
      engines: [{ engine: 'xdp', available: true, reason: 'ready' }],
      status: undefined,
    })),
    watchStatus: (call: ServerWritableStream<WatchStatusRequest, WatchStatusResponse>) => {
      watchers.add(call);
      call.on('cancelled', () => watchers.delete(call));
      emit();
    },
  });
  server.addService(FlowServiceService, flowService(state));
  server.addService(TrafficServiceService, trafficService(state));
  server.addService(ConfigServiceService, {
    getConfig: answer<GetConfigRequest, { config: ConfigRevision | undefined }>(async ({ revision }) => {
      const found = revision === 0n ? state.revisions[0] : state.revisions.find((known) => known.revision === revision);
      if (found === undefined) throw new NestError('REVISION_UNKNOWN', 'No such revision.');
      return { config: found };
    }),
    listRevisions: answer<object, { revisions: ConfigRevision[] }>(async () => ({
      revisions: state.revisions.map((revision) => ({ ...revision, policyJson: '' })),
    })),
    planConfig: answer<PlanConfigRequest, PlanConfigResponse>(async ({ baseRevision }, call) => {
      await refuse();
      if (state.sessionToken !== null && call.metadata.get(sessionMetadata)[0] !== state.sessionToken)
        throw new NestError('MFA_REQUIRED', 'A code is needed.');
      return { ...state.plan, baseRevision };
    }),
    applyConfig: answer<ApplyConfigRequest, ApplyConfigResponse>(async (request) => {
      await refuse();
      return applyTo(state, request);
    }),
    confirmConfig: answer<ConfirmConfigRequest, { config: ConfigRevision | undefined }>(async () => {
      await refuse();
      if (state.status.policy?.pending === undefined) throw new NestError('NOTHING_TO_CONFIRM', 'Nothing waits.');
      settlePending(state, { state: ConfigRevision_State.CONFIRMED, reason: '' });
      return { config: state.revisions[0] };
    }),
    rollbackConfig: answer<RollbackConfigRequest, RollbackConfigResponse>(async (request) => {
      await refuse();
      if (request.toRevision === 0n) {
        settlePending(state, { state: ConfigRevision_State.ROLLED_BACK, reason: 'Taken back by the operator' });
        return { ...RollbackConfigResponse.fromPartial({}), config: state.revisions[0] };
      }
      const old = state.revisions.find(({ revision }) => revision === request.toRevision);
      if (old === undefined) throw new NestError('REVISION_UNKNOWN', 'No such revision.');
      return applyTo(state, { ...request, policyJson: old.policyJson }, old.generation);
    }),
    watchConfig: () => undefined,
  });
};

const applyTo = (
  state: FakeAgentState,
  request: Pick<ApplyConfigRequest, 'transactionId' | 'policyJson' | 'comment' | 'confirmWithinSeconds'>,
  generation = state.plan.generation,
): ApplyConfigResponse => {
  state.transactions.push(request.transactionId);
  const revision = (state.revisions[0]?.revision ?? 0n) + 1n;
  const config = ConfigRevision.fromPartial({
    revision,
    policyJson: request.policyJson,
    generation,
    state: ConfigRevision_State.PENDING,
    comment: request.comment,
    author: 'operator',
  });
  const remainingMs = request.confirmWithinSeconds * 1000;
  const pending = {
    revision,
    previousRevision: revision - 1n,
    rollbackAtMs: BigInt(Date.now() + remainingMs),
    remainingMs,
    transactionId: request.transactionId,
  };
  state.revisions.unshift(config);
  state.status = {
    ...state.status,
    policy: {
      mode: PolicyStatus_Mode.ENFORCE,
      revision,
      generation: config.generation,
      desiredGeneration: config.generation,
      withheld: [],
      adopted: false,
      pending,
    },
  };
  return { config, rollbackAtMs: pending.rollbackAtMs, remainingMs, loadMs: 1.5, flipMs: 0.01 };
};

const settlePending = (state: FakeAgentState, end: { readonly state: ConfigRevision['state']; readonly reason: string }): void => {
  const { policy } = state.status;
  const [newest] = state.revisions;
  if (policy?.pending === undefined || newest === undefined) return;
  state.revisions[0] = { ...newest, state: end.state, settledReason: end.reason, settledAtMs: BigInt(Date.now()) };
  state.status = { ...state.status, policy: { ...policy, pending: undefined } };
};

/** SHA-256 of the SPKI of the certificate the console showed. */
const peerHash = (socket: TLSSocket): Buffer => {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined
    ? Buffer.alloc(32)
    : createHash('sha256')
        .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
        .digest();
};
