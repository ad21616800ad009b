/** Enrolments in work: a token each, a dial loop until the agent answers or the token ends, the operator's word, the certificate. */
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import { tokenLifeMs } from '../../../proto/model/limits.ts';
import type * as model from '../../bridge/model.ts';
import { createEnrollmentExchange, joinTokenOf } from '../../grpc/api.ts';
import type { EnrollmentExchange, EnrollmentProof, JoinToken, OperatorIdentity } from '../../grpc/api.ts';
import { createLatest, createTaskGroup, isCancelled, ulidOf } from '../../lib/api.ts';
import type { Clock, Latest, RandomBytes } from '../../lib/api.ts';
import { rootSpkiHash, signAgent } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';
import type { Admission } from '../license/license-desk.ts';

/** Enrolments that may wait at once; the finished ones kept for display. */
const activeMax = 64;
const finishedMax = 32;
/** Pause between two calls at the host's door. */
const dialPauseMs = 1_000;
/** Times a certificate is delivered before giving up. */
const deliveriesMax = 3;

/** These mean "not yet": the agent has not been told to join, or is not up. */
const waitingCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['HOST_UNREACHABLE', 'TIMED_OUT', 'ENROLLMENT_CLOSED']);

export interface EnrollmentDeskOptions {
  /** As they are now. */
  readonly keys: () => FleetKeys;
  readonly operator: OperatorIdentity;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly hosts: () => readonly HostRecord[];
  /** Whether one more host fits beside those in work. Raises QUOTA_EXCEEDED. */
  readonly admit: (admission: Admission) => void;
  /** Takes the new host into the fleet. */
  readonly onEnrolled: (record: HostRecord) => void;
  /** Whether the agent answers under its new identity: settles a delivery whose answer was lost. */
  readonly answersAs: (record: HostRecord, signal: AbortSignal) => Promise<boolean>;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface EnrollmentDesk {
  /** Raises HOST_EXISTS, LIMIT_REACHED, QUOTA_EXCEEDED. */
  begin(request: {
    readonly name: string;
    readonly address: string;
    readonly port: number;
    readonly labels: readonly string[];
    readonly hostName?: string | undefined;
    readonly cluster?: string | undefined;
  }): model.Enrollment;
  list(): readonly model.Enrollment[];
  /** Raises NOT_FOUND. */
  watch(enrollmentId: string, signal: AbortSignal): AsyncIterable<model.Enrollment>;
  /** Signs and delivers; resolves when that succeeded or failed. Raises NOT_FOUND, QUOTA_EXCEEDED, ENROLLMENT_CLOSED when there is no fingerprint to approve. */
  approve(enrollmentId: string, signal: AbortSignal): Promise<model.Enrollment>;
  cancel(enrollmentId: string): model.Enrollment;
  close(): Promise<void>;
}

interface Conduct extends EnrollmentDeskOptions {
  /** Once more before a key is signed. Raises QUOTA_EXCEEDED. */
  readonly admitNow: () => void;
}

interface Session {
  readonly state: Latest<model.Enrollment>;
  readonly token: JoinToken;
  readonly hostId: string;
  readonly stop: AbortController;
  readonly approved: Latest<boolean>;
}

const isOver = ({ state }: model.Enrollment): boolean =>
  state === 'enrolled' || state === 'failed' || state === 'cancelled' || state === 'expired';

/** A desk for one unlocked fleet. */
export const createEnrollmentDesk = (options: EnrollmentDeskOptions): EnrollmentDesk => {
  const sessions = new Map<string, Session>();
  const tasks = createTaskGroup((task, error) => {
    options.report('background work of an enrolment failed', { task, error });
  });
  const find = (enrollmentId: string): Session => {
    const session = sessions.get(enrollmentId);
    if (session === undefined) throw new NestError('NOT_FOUND', 'This enrolment is not known any more. Begin a new one.');
    return session;
  };
  /** Others that are being signed take their places already. */
  const admitNow = (session: Session): void => {
    const others = [...sessions.values()].filter((other) => other !== session && other.state.value.state === 'signing');
    options.admit({ cluster: session.state.value.cluster, beside: others.map(({ state }) => state.value) });
  };
  return {
    begin: (request) => {
      const active = [...sessions.values()].map(({ state }) => state.value).filter((enrollment) => !isOver(enrollment));
      refuseDuplicates(request, [...options.hosts(), ...active]);
      if (active.length >= activeMax)
        throw new NestError('LIMIT_REACHED', 'Too many enrolments are waiting. Finish or cancel one of them first.');
      options.admit({ cluster: request.cluster, beside: active });
      const session = newSession(request, options);
      const { state } = session;
      sessions.set(state.value.enrollmentId, session);
      dropOldest(sessions);
      tasks.start('enrolment', (signal) => conduct(session, { ...options, admitNow: () => admitNow(session) }, signal));
      return state.value;
    },
    list: () => [...sessions.values()].map(({ state }) => state.value),
    watch: (enrollmentId, signal) => untilOver(find(enrollmentId), signal),
    approve: async (enrollmentId, signal) => {
      const session = find(enrollmentId);
      if (session.state.value.state !== 'fingerprint')
        throw new NestError(
          'ENROLLMENT_CLOSED',
          'There is no fingerprint to approve. Wait until the agent answers, or begin a new enrolment.',
        );
      admitNow(session);
      session.state.set({ ...session.state.value, state: 'signing' });
      session.approved.set(true);
      for await (const _enrollment of untilOver(session, signal));
      return session.state.value;
    },
    cancel: (enrollmentId) => {
      const session = find(enrollmentId);
      if (isOver(session.state.value)) return session.state.value;
      if (session.state.value.state === 'signing')
        throw new NestError('ENROLLMENT_CLOSED', 'The certificate is being delivered. Wait for the end, then remove the host.');
      finish(session, { state: 'cancelled' });
      session.stop.abort();
      return session.state.value;
    },
    close: async () => {
      for (const session of sessions.values()) {
        if (!isOver(session.state.value)) finish(session, { state: 'cancelled' });
        session.stop.abort();
      }
      await tasks.close();
    },
  };
};

const newSession = (request: Parameters<EnrollmentDesk['begin']>[0], { keys, clock, random }: EnrollmentDeskOptions): Session => {
  const token = joinTokenOf(rootSpkiHash(keys()), random);
  const state = createLatest<model.Enrollment>({
    enrollmentId: ulidOf(clock.now(), random),
    ...request,
    state: 'waiting',
    token: token.text,
    joinCommand: `nest-agent join ${token.text}`,
    expiresAt: clock.now() + tokenLifeMs,
    fingerprint: null,
    facts: null,
    hostId: null,
    problem: null,
    attempts: 0,
  });
  return { state, token, hostId: ulidOf(clock.now(), random), stop: new AbortController(), approved: createLatest(false) };
};

const refuseDuplicates = (
  request: { readonly name: string; readonly address: string; readonly port: number },
  known: readonly { readonly name: string; readonly address: string; readonly port: number }[],
): void => {
  const same = known.find(({ name, address, port }) => name === request.name || (address === request.address && port === request.port));
  if (same === undefined) return;
  const what = same.name === request.name ? `named ${request.name}` : `at ${request.address} port ${String(request.port)}`;
  throw new NestError(
    'HOST_EXISTS',
    `There is already a host or an open enrolment ${what}. Choose another name, remove the host, or cancel the enrolment.`,
  );
};

/** The token leaves the state: it is worth nothing any more. Followers end. */
const finish = (session: Session, last: Partial<model.Enrollment>): void => {
  session.state.set({ ...session.state.value, token: null, joinCommand: null, ...last });
  session.state.close();
};

async function* untilOver(session: Session, signal: AbortSignal): AsyncGenerator<model.Enrollment> {
  for await (const enrollment of session.state.follow(signal)) {
    yield enrollment;
    if (isOver(enrollment)) return;
  }
}

const dropOldest = (sessions: Map<string, Session>): void => {
  const finished = [...sessions].filter(([, { state }]) => isOver(state.value));
  for (const [enrollmentId] of finished.slice(0, Math.max(0, finished.length - finishedMax))) sessions.delete(enrollmentId);
};

/** One enrolment from the first call at the door to its end. Never raises. */
const conduct = async (session: Session, options: Conduct, closed: AbortSignal): Promise<void> => {
  const { clock } = options;
  const expiry = new AbortController();
  const timer = clock
    .sleep(session.state.value.expiresAt - clock.now(), AbortSignal.any([closed, session.stop.signal, expiry.signal]))
    .then(
      () => session.stop.abort('expired'),
      () => undefined,
    );
  const signal = AbortSignal.any([closed, session.stop.signal]);
  try {
    await enroll(session, options, signal);
  } catch (error) {
    if (isOver(session.state.value)) return;
    if (session.stop.signal.reason === 'expired') {
      finish(session, {
        state: 'expired',
        problem: { code: 'TOKEN_EXPIRED', message: 'The token has expired before the agent joined. Begin again for a new one.' },
      });
    } else if (isCancelled(error)) {
      finish(session, { state: 'cancelled' });
    } else {
      const { code, message } = toErrorShape(error);
      finish(session, { state: 'failed', problem: { code, message } });
      if (code === 'INTERNAL') options.report('an enrolment failed', { enrollmentId: session.state.value.enrollmentId, error });
    }
  } finally {
    expiry.abort();
    await timer;
  }
};

const enroll = async (session: Session, options: Conduct, signal: AbortSignal): Promise<void> => {
  const { state } = session;
  let met = await meet(session, options, signal);
  try {
    const { facts } = met.proof;
    refuseOtherHost(state.value.hostName, facts?.hostName);
    state.set({
      ...state.value,
      state: 'fingerprint',
      fingerprint: met.proof.spkiSha256,
      facts: facts === undefined ? null : { hostName: facts.hostName, kernel: facts.kernel, operatingSystem: facts.operatingSystem },
      problem: null,
    });
    for await (const isApproved of session.approved.follow(signal)) if (isApproved) break;
    signal.throwIfAborted();
    for (let delivery = 1; ; delivery += 1) {
      const record = await deliver(session, options, { met, signal, isLast: delivery === deliveriesMax });
      if (record !== undefined) {
        options.onEnrolled(record);
        finish(session, { state: 'enrolled', hostId: record.hostId, problem: null });
        return;
      }
      met.exchange.close();
      const again = await meet(session, options, signal);
      if (again.proof.spkiSha256 !== met.proof.spkiSha256) {
        again.exchange.close();
        throw new NestError(
          'IDENTITY_MISMATCH',
          'The key of the agent changed after it was approved. Begin again and compare the new fingerprint.',
        );
      }
      met = again;
    }
  } finally {
    met.exchange.close();
  }
};

/** A token that names a host is worth nothing on another, whoever typed it there. Raises IDENTITY_MISMATCH. */
const refuseOtherHost = (expected: string | undefined, presented: string | undefined): void => {
  if (expected === undefined || expected.toLowerCase() === presented?.toLowerCase()) return;
  throw new NestError(
    'IDENTITY_MISMATCH',
    `The token is for the host ${expected}, and the host that used it calls itself ${presented ?? 'nothing'}. Begin again for the right one.`,
    { details: { expected, presented } },
  );
};

interface Meeting {
  readonly exchange: EnrollmentExchange;
  readonly proof: EnrollmentProof;
}

/** Dials until an agent proves the token. Raises what is not a matter of waiting. */
const meet = async (
  { state, token }: Session,
  { operator, random, clock }: EnrollmentDeskOptions,
  signal: AbortSignal,
): Promise<Meeting> => {
  for (;;) {
    const exchange = createEnrollmentExchange({ endpoint: state.value, operator, token, random });
    try {
      return { exchange, proof: await exchange.prove(signal) };
    } catch (error) {
      exchange.close();
      const { code, message } = toErrorShape(error);
      if (!waitingCodes.has(code)) throw error;
      state.set({ ...state.value, attempts: state.value.attempts + 1, problem: { code, message } });
      await clock.sleep(dialPauseMs, signal);
    }
  }
};

/** The new host, or undefined when the delivery broke off and should be tried again. */
const deliver = async (
  session: Session,
  options: Conduct,
  attempt: { readonly met: Meeting; readonly signal: AbortSignal; readonly isLast: boolean },
): Promise<HostRecord | undefined> => {
  const { clock, random } = options;
  const keys = options.keys();
  const { name, address, port, labels, cluster } = session.state.value;
  const { proof, exchange } = attempt.met;
  const request = { agentId: session.hostId, hostName: name, signingRequest: proof.signingRequest, spkiSha256: proof.spkiSha256 };
  options.admitNow();
  const signed = await signAgent(keys, request, { now: clock.now(), random });
  const record: HostRecord = {
    hostId: session.hostId,
    name,
    address,
    port,
    labels,
    spkiSha256: proof.spkiSha256,
    certificateEndsAt: signed.endsAt,
    enrolledAt: clock.now(),
    ...(cluster === undefined ? {} : { cluster }),
    issuedBy: signed.chain.length > 1 ? 'agents' : 'root',
    certificateSerial: signed.serial,
    rootSha256: signed.rootSha256,
  };
  try {
    const agentId = await exchange.complete(
      { certificateChain: signed.chain, fleetRoot: signed.fleetRoot, fleetId: keys.fleetId },
      attempt.signal,
    );
    if (agentId !== session.hostId)
      throw new NestError(
        'IDENTITY_MISMATCH',
        'The agent took another identity than the one it was given. Upgrade the agent, then begin again.',
      );
    return record;
  } catch (error) {
    if (!waitingCodes.has(toErrorShape(error).code)) throw error;
    // The agent may have taken the certificate and only its answer was lost.
    if (await options.answersAs(record, attempt.signal)) return record;
    if (attempt.isLast) throw error;
    return undefined;
  }
};
