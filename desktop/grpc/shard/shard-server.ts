/** The shard's side: holds the connections of its hosts and carries serialised messages; it knows neither hosts nor calls by name. */
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { ErrorShape } from '../../../proto/model/error.ts';
import { createGate } from '../../lib/api.ts';
import type { Clock, Gate, RandomBytes } from '../../lib/api.ts';
import { maintainConnection } from '../connection.ts';
import type { Wires } from '../connection.ts';
import { createHandshakePace } from '../handshake-pace.ts';
import type { HandshakePace } from '../handshake-pace.ts';
import { createOperatorIdentity } from '../operator-identity.ts';
import type { OperatorIdentity } from '../operator-identity.ts';
import type { AgentIdentity } from '../peer-identity.ts';
import { connectsInFlightMax, connectsWaitingMax } from '../wire-limits.ts';
import type { WireStream } from '../wire.ts';
import { errorOf, pieceOf, streamCreditMax } from './shard-message.ts';
import type { ShardBatch, ShardEnd, ShardEvent, ShardOrder } from './shard-message.ts';
import { createShardOutbox, gatherMs } from './shard-outbox.ts';
import type { ShardOutbox } from './shard-outbox.ts';

export interface ShardServerOptions {
  readonly port: ShardEnd;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

interface ShardLink {
  identity: AgentIdentity;
  /** Counts connections; calls of an earlier one are refused. */
  connection: number;
  wires: Wires | null;
  /** Ends the present connection. */
  fail: (error: NestError) => void;
  readonly stop: AbortController;
}

interface ShardCall {
  cancel(): void;
  credit(messages: number): void;
}

interface Shard {
  readonly options: ShardServerOptions;
  readonly outbox: ShardOutbox<ShardEvent>;
  readonly links: Map<number, ShardLink>;
  readonly calls: Map<number, ShardCall>;
  readonly gate: Gate;
  readonly pace: HandshakePace;
  operator: OperatorIdentity | null;
  /** As the console was told last. */
  waiting: number;
}

/** Serves until the port closes. */
export const serveShard = (options: ShardServerOptions): void => {
  const shard: Shard = {
    options,
    outbox: createShardOutbox((batch) => options.port.post(batch), gatherMs),
    links: new Map(),
    calls: new Map(),
    gate: createGate({ inFlightMax: connectsInFlightMax, waitingMax: connectsWaitingMax }),
    pace: createHandshakePace(),
    operator: null,
    waiting: 0,
  };
  options.port.receive((batch) => {
    const { numbers } = batch;
    for (let at = 0; at < numbers.length; at += 2) shard.calls.get(numbers[at] ?? 0)?.credit(numbers[at + 1] ?? 0);
    for (const order of batch.items) obey(shard, order, batch);
  });
};

const obey = (shard: Shard, order: ShardOrder, batch: ShardBatch<ShardOrder>): void => {
  switch (order.kind) {
    case 'identify':
      if (shard.operator === null) shard.operator = createOperatorIdentity(order.operator);
      else shard.operator.renew(order.operator);
      shard.operator.show(order.evidence);
      break;
    case 'open':
      open(shard, order);
      break;
    case 'expect': {
      const link = shard.links.get(order.link);
      if (link !== undefined) link.identity = order.identity;
      break;
    }
    case 'renew': {
      const link = shard.links.get(order.link);
      if (link?.connection === order.connection) link.fail(errorOf(order.error));
      break;
    }
    case 'close':
      shard.links.get(order.link)?.stop.abort();
      break;
    case 'call':
      call(shard, order, pieceOf(batch, order.request));
      break;
    case 'stream':
      stream(shard, order, pieceOf(batch, order.request));
      break;
    case 'cancel':
      shard.calls.get(order.call)?.cancel();
      break;
  }
};

const open = (shard: Shard, order: Extract<ShardOrder, { kind: 'open' }>): void => {
  const { clock, random } = shard.options;
  const { operator, outbox, gate, pace } = shard;
  if (operator === null) throw new Error('a link was opened before the operator was known');
  const link: ShardLink = { identity: order.identity, connection: 0, wires: null, fail: () => undefined, stop: new AbortController() };
  shard.links.set(order.link, link);
  const options = {
    endpoint: order.endpoint,
    identity: identityOf(link),
    operator,
    consoleVersion: order.consoleVersion,
    clock,
    random,
    gate,
    pace,
  };
  const over = maintainConnection(
    options,
    {
      work: (wires, greeting, signal) => {
        link.connection += 1;
        link.wires = wires;
        outbox.add({ kind: 'up', link: order.link, connection: link.connection, greeting });
        tellWaiting(shard);
        return new Promise<void>((_resolve, reject) => {
          link.fail = reject;
          signal.addEventListener('abort', () => reject(new NestError('CANCELLED', 'The call was cancelled.')), { once: true });
        });
      },
      broke: ({ error, since, attempts }) => {
        link.wires = null;
        outbox.add({ kind: 'down', link: order.link, outage: { error: toErrorShape(error), since, attempts } });
        tellWaiting(shard);
      },
    },
    link.stop.signal,
  );
  tellWaiting(shard);
  // It ends by being told to, which is no news.
  void over
    .catch(() => undefined)
    .then(() => {
      shard.links.delete(order.link);
      outbox.add({ kind: 'closed', link: order.link });
      tellWaiting(shard);
    });
};

const identityOf = (link: ShardLink): AgentIdentity => ({
  get fleetId() {
    return link.identity.fleetId;
  },
  get agentId() {
    return link.identity.agentId;
  },
  get spkiSha256() {
    return link.identity.spkiSha256;
  },
  get nextSpkiSha256() {
    return link.identity.nextSpkiSha256;
  },
});

const tellWaiting = (shard: Shard): void => {
  if (shard.waiting === shard.gate.waiting) return;
  shard.waiting = shard.gate.waiting;
  shard.outbox.add({ kind: 'waiting', hosts: shard.waiting });
};

/** The wires of the connection that a call names; null when it is another one by now. */
const wiresOf = (shard: Shard, { link, connection }: { readonly link: number; readonly connection: number }): Wires | null => {
  const known = shard.links.get(link);
  return known?.connection === connection ? known.wires : null;
};

const call = (shard: Shard, order: Extract<ShardOrder, { kind: 'call' }>, request: Buffer): void => {
  const { outbox, calls } = shard;
  const wires = wiresOf(shard, order);
  if (wires === null) {
    outbox.add({ kind: 'ended', call: order.call, error: gone });
    return;
  }
  const abort = new AbortController();
  calls.set(order.call, { cancel: () => abort.abort(), credit: () => undefined });
  const whole = order.ending === null ? request : Buffer.concat([request, order.ending]);
  wires.calls.unary(order.path, whole, { signal: abort.signal, deadlineMs: order.deadlineMs }).then(
    (answer) => {
      calls.delete(order.call);
      outbox.addWith(answer, (piece) => ({ kind: 'answer', call: order.call, answer: piece }));
    },
    (error: unknown) => {
      calls.delete(order.call);
      outbox.add({ kind: 'ended', call: order.call, error: toErrorShape(error) });
    },
  );
};

const stream = (shard: Shard, order: Extract<ShardOrder, { kind: 'stream' }>, request: Buffer): void => {
  const { outbox, calls } = shard;
  const wires = wiresOf(shard, order);
  if (wires === null) {
    outbox.add({ kind: 'ended', call: order.call, error: gone });
    return;
  }
  let credit = streamCreditMax;
  const wire = order.isBulk ? wires.bulk : wires.calls;
  const running: WireStream = wire.stream(order.path, request, {
    message: (bytes) => {
      credit -= 1;
      if (credit === 0) running.pause();
      outbox.addMessage(order.call, bytes, order.isBulk ? 'now' : 'soon');
    },
    ended: (error) => {
      calls.delete(order.call);
      outbox.add({ kind: 'ended', call: order.call, error: error === null ? null : toErrorShape(error) });
      // Who is locked out is so on every way to this host: that takes no word of the console, which hears it of a thousand hosts at once.
      const link = shard.links.get(order.link);
      if (error?.code === 'REVOKED' && link?.connection === order.connection) link.fail(error);
    },
  });
  calls.set(order.call, {
    cancel: () => running.cancel(),
    credit: (messages) => {
      if (credit <= 0 && credit + messages > 0) running.resume();
      credit += messages;
    },
  });
};

const gone: ErrorShape = {
  code: 'HOST_UNREACHABLE',
  message: 'The connection to the host has ended. It will be made again.',
  details: {},
};
