/** The console's side of one shard: links whose connections live there. */
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { ErrorShape } from '../../../proto/model/error.ts';
import { cancelled, throwIfCancelled } from '../../lib/api.ts';
import type { Clock, Latest } from '../../lib/api.ts';
import { createAgentClient } from '../agent-client.ts';
import type { AgentClient } from '../agent-client.ts';
import type { LinkState } from '../agent-link.ts';
import type { Endpoint } from '../channel.ts';
import { createSharedTexts, withLongText } from '../long-text.ts';
import type { SharedTexts } from '../long-text.ts';
import type { OperatorMaterial } from '../operator-identity.ts';
import type { StepUpEvidence } from '../wire-session.ts';
import type { AgentIdentity } from '../peer-identity.ts';
import type { StreamSink, Wire } from '../wire.ts';
import { errorOf, pieceOf, streamCreditMax } from './shard-message.ts';
import type { ConsoleEnd, ShardBatch, ShardEvent, ShardOrder } from './shard-message.ts';
import { createShardOutbox } from './shard-outbox.ts';
import type { Urgency } from './shard-outbox.ts';

/** Read messages are reported in pieces of so many, so that a stream never waits for its console. */
const creditStep = streamCreditMax / 2;
/** A stream that took so long for a step of messages can wait for the next as well: its credit goes with others'. Milliseconds. */
const slowStepMs = 1_000;
const creditGatherMs = 50;

export interface RemoteLinkOptions {
  readonly endpoint: Endpoint;
  readonly identity: AgentIdentity;
  readonly consoleVersion: string;
}

export interface RemoteUpkeep {
  readonly options: RemoteLinkOptions;
  /** What the link shows. */
  readonly state: Latest<LinkState>;
  readonly work: (client: AgentClient, signal: AbortSignal) => Promise<void>;
}

export interface RemoteShard {
  readonly links: number;
  /** Hosts that wait for their handshake there. */
  readonly waiting: number;
  /** Who connects from now on, and what was proven with a second factor. */
  identify(operator: OperatorMaterial, evidence: StepUpEvidence | null): void;
  /** Keeps a connection there. Ends when the signal aborts, with CANCELLED, or when the shard is lost, with HOST_UNREACHABLE. */
  maintain(upkeep: RemoteUpkeep, signal: AbortSignal): Promise<void>;
  /** The identity of this agent has changed; it is read anew. */
  identityChanged(agentId: string): void;
  /** Ends the thread and every connection in it; links see that they are down. */
  close(): Promise<void>;
}

interface Waiter {
  answer(bytes: Buffer): void;
  message(bytes: Buffer): void;
  ended(error: ErrorShape | null): void;
}

interface OpenLink {
  readonly options: RemoteLinkOptions;
  up(connection: number, greeting: Extract<ShardEvent, { kind: 'up' }>['greeting']): void;
  down(outage: Extract<ShardEvent, { kind: 'down' }>['outage']): void;
  closed(): void;
}

interface Remote {
  readonly clock: Clock;
  readonly order: (order: ShardOrder) => void;
  readonly orderWith: (bytes: Uint8Array, make: (request: { readonly at: number; readonly length: number }) => ShardOrder) => void;
  readonly credit: (call: number, messages: number, urgency: Urgency) => void;
  readonly links: Map<number, OpenLink>;
  readonly calls: Map<number, Waiter>;
  readonly texts: SharedTexts;
  numbers: number;
  isLost: boolean;
}

export interface RemoteShardOptions {
  readonly port: ConsoleEnd;
  readonly clock: Clock;
  /** The thread ended by itself. */
  readonly onLost: (cause: unknown) => void;
}

/** A shard that is told who connects by `identify` before its first link. */
export const createRemoteShard = ({ port, clock, onLost }: RemoteShardOptions): RemoteShard => {
  const outbox = createShardOutbox<ShardOrder>((batch) => port.post(batch), creditGatherMs);
  let waiting = 0;
  const remote: Remote = {
    clock,
    order: (order) => outbox.add(order),
    orderWith: (bytes, make) => outbox.addWith(bytes, make),
    credit: (call, messages, urgency) => outbox.addCredit(call, messages, urgency),
    links: new Map(),
    calls: new Map(),
    texts: createSharedTexts(),
    numbers: 0,
    isLost: false,
  };
  port.receive((batch) => {
    const { numbers, bytes } = batch;
    for (let at = 0; at < numbers.length; at += 3)
      remote.calls
        .get(numbers[at] ?? 0)
        ?.message(Buffer.from(bytes.buffer, bytes.byteOffset + (numbers[at + 1] ?? 0), numbers[at + 2] ?? 0));
    for (const event of batch.items) {
      if (event.kind === 'waiting') waiting = event.hosts;
      else hear(remote, event, batch);
    }
  });
  const end = (): void => {
    remote.isLost = true;
    waiting = 0;
    for (const call of remote.calls.values()) call.ended(toErrorShape(lost()));
    for (const link of remote.links.values()) {
      link.down({ error: toErrorShape(lost()), since: clock.now(), attempts: 1 });
      link.closed();
    }
  };
  port.onLost((cause) => {
    end();
    onLost(cause);
  });
  return {
    get links() {
      return remote.links.size;
    },
    get waiting() {
      return waiting;
    },
    identify: (operator, evidence) => remote.order({ kind: 'identify', operator, evidence }),
    maintain: (upkeep, signal) => maintainRemote(remote, upkeep, signal),
    identityChanged: (agentId) => {
      for (const [link, { options }] of remote.links) {
        if (options.identity.agentId === agentId) remote.order({ kind: 'expect', link, identity: plainIdentity(options.identity) });
      }
    },
    close: async () => {
      end();
      await port.close();
    },
  };
};

const hear = (remote: Remote, event: Exclude<ShardEvent, { kind: 'waiting' }>, batch: ShardBatch<ShardEvent>): void => {
  switch (event.kind) {
    case 'up':
      remote.links.get(event.link)?.up(event.connection, event.greeting);
      break;
    case 'down':
      remote.links.get(event.link)?.down(event.outage);
      break;
    case 'closed':
      remote.links.get(event.link)?.closed();
      break;
    case 'answer':
      remote.calls.get(event.call)?.answer(pieceOf(batch, event.answer));
      break;
    case 'ended':
      remote.calls.get(event.call)?.ended(event.error);
      break;
  }
};

const maintainRemote = async (remote: Remote, { options, state, work }: RemoteUpkeep, signal: AbortSignal): Promise<void> => {
  throwIfCancelled(signal);
  if (remote.isLost) throw lost();
  const link = (remote.numbers += 1);
  const closed = Promise.withResolvers<void>();
  let working: Promise<void> = Promise.resolve();
  remote.links.set(link, {
    options,
    up: (connection, greeting) => {
      const client = createAgentClient(remoteWire(remote, { link, connection }, false), remoteWire(remote, { link, connection }, true));
      state.set({ kind: 'up', client, ...greeting });
      // The work of an earlier connection is over when the next one comes: only its failure ends a connection.
      working = work(client, signal).then(
        () => remote.order({ kind: 'renew', link, connection, error: toErrorShape(lost()) }),
        (error: unknown) => remote.order({ kind: 'renew', link, connection, error: toErrorShape(error) }),
      );
    },
    down: ({ error, since, attempts }) => state.set({ kind: 'down', error: errorOf(error), since, attempts }),
    closed: () => {
      remote.links.delete(link);
      closed.resolve();
    },
  });
  const close = (): void => remote.order({ kind: 'close', link });
  signal.addEventListener('abort', close, { once: true });
  remote.order({
    kind: 'open',
    link,
    endpoint: { address: options.endpoint.address, port: options.endpoint.port },
    identity: plainIdentity(options.identity),
    consoleVersion: options.consoleVersion,
  });
  await closed.promise;
  signal.removeEventListener('abort', close);
  await working;
  throwIfCancelled(signal);
  throw lost();
};

/** Getters do not travel. */
const plainIdentity = ({ fleetId, agentId, spkiSha256, nextSpkiSha256 }: AgentIdentity): AgentIdentity => ({
  fleetId,
  agentId,
  spkiSha256,
  nextSpkiSha256,
});

const remoteWire = (remote: Remote, place: { readonly link: number; readonly connection: number }, isBulk: boolean): Wire => ({
  unary: (path, request, { signal, deadlineMs, ending: text }) =>
    new Promise((resolve, reject) => {
      throwIfCancelled(signal);
      if (remote.isLost) throw lost();
      const call = (remote.numbers += 1);
      const abort = (): void => remote.order({ kind: 'cancel', call });
      const over = (): void => {
        remote.calls.delete(call);
        signal.removeEventListener('abort', abort);
      };
      remote.calls.set(call, {
        answer: (bytes) => {
          over();
          resolve(bytes);
        },
        message: () => undefined,
        ended: (error) => {
          over();
          reject(signal.aborted || error === null ? cancelled() : errorOf(error));
        },
      });
      signal.addEventListener('abort', abort, { once: true });
      const ending = text === undefined ? null : remote.texts.bytes(text);
      const bytes = ending === null ? withLongText(request, text) : request;
      remote.orderWith(bytes, (piece) => ({ kind: 'call', call, ...place, path, request: piece, deadlineMs, ending }));
    }),
  stream: (path, request, sink) => {
    const call = (remote.numbers += 1);
    if (remote.isLost) {
      setImmediate(() => sink.ended(lost()));
      return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
    }
    const credit = creditOf(remote, call);
    remote.calls.set(call, sinkWaiter(remote, { call, sink, onMessage: credit.read }));
    remote.orderWith(request, (piece) => ({ kind: 'stream', call, ...place, path, request: piece, isBulk }));
    return { pause: credit.pause, resume: credit.resume, cancel: () => remote.calls.has(call) && remote.order({ kind: 'cancel', call }) };
  },
});

const sinkWaiter = (
  remote: Remote,
  { call, sink, onMessage }: { readonly call: number; readonly sink: StreamSink; readonly onMessage: () => void },
): Waiter => ({
  answer: () => undefined,
  message: (bytes) => {
    sink.message(bytes);
    onMessage();
  },
  ended: (error) => {
    remote.calls.delete(call);
    sink.ended(error === null ? null : errorOf(error));
  },
});

/** Lets the shard send on as messages are read; nothing while paused. */
const creditOf = (remote: Remote, call: number): { readonly read: () => void; readonly pause: () => void; readonly resume: () => void } => {
  let read = 0;
  let isPaused = false;
  let grantedMs = remote.clock.monotonicMs();
  const grant = (): void => {
    if (isPaused || read < creditStep) return;
    const nowMs = remote.clock.monotonicMs();
    remote.credit(call, read, nowMs - grantedMs > slowStepMs ? 'soon' : 'now');
    grantedMs = nowMs;
    read = 0;
  };
  return {
    read: () => {
      read += 1;
      grant();
    },
    pause: () => {
      isPaused = true;
    },
    resume: () => {
      isPaused = false;
      grant();
    },
  };
};

const lost = (): NestError =>
  new NestError('HOST_UNREACHABLE', 'The connection was ended together with others of this console. It will be made again.');
