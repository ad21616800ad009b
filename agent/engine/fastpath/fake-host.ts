/** nest-fastpathd in memory for tests: processes that start, die, hang, refuse and outlive the agent under test. */
import type { EngineProbe } from '../api.ts';
import { recordBytes } from '../layout.ts';
import type { ControlAnswer, FastpathHost, StartedProcess } from './host.ts';
import { halves, laneOffsets, placeOffsets, portBytes, portOffsets, ringOffsets, statusBytes, statusOffsets } from './layout.ts';
import { openSharedMemory } from './memory.ts';

const capacity = 4;
const places = (() => {
  let end = 64;
  const take = (bytes: number): number => {
    const start = end;
    end += bytes;
    return start;
  };
  const half = (kind: keyof typeof halves): number => take(2 * halves[kind].entries * halves[kind].words * 8);
  const all = {
    ring: take(ringOffsets.slots + capacity * recordBytes),
    interfaces: take(16 * 32 * 16),
    mappings: half('mappings'),
    limits: half('limits'),
    deny: half('deny'),
    backends: half('backends'),
    stats: take(32),
    losses: take(24),
  };
  return { all, bytes: end };
})();

/** One process: its pages, and what it was told. */
export class FakeProcess {
  readonly memory = Buffer.alloc(places.bytes);
  readonly status = Buffer.alloc(statusBytes);
  readonly ports = new Map<string, number>();
  sequence = 0;
  isAlive = true;
  end: (how: string) => void = () => undefined;

  readonly pid: number;
  readonly socket: string;

  constructor(pid: number, socket: string) {
    this.pid = pid;
    this.socket = socket;
    this.status.writeUInt32LE(1, statusOffsets.lane_count);
    for (const [place, offset] of Object.entries(placeOffsets))
      this.status.writeBigUInt64LE(BigInt(places.all[place as keyof typeof placeOffsets]), statusOffsets.offsets + offset);
    this.memory.writeUInt32LE(capacity, places.all.ring + ringOffsets.capacity);
    this.work();
  }

  /** Its worker goes round once. */
  work(isSleeping = true): void {
    const lane = statusOffsets.lanes;
    this.status.writeBigUInt64LE(this.status.readBigUInt64LE(lane + laneOffsets.rounds) + 1n, lane + laneOffsets.rounds);
    this.status.writeUInt32LE(isSleeping ? 1 : 0, lane + laneOffsets.sleeping);
  }

  setPorts(): void {
    this.status.fill(0, statusOffsets.ports, statusOffsets.ports + 16 * portBytes);
    for (const [slot, [name, index]] of [...this.ports].entries()) {
      const base = statusOffsets.ports + slot * portBytes;
      this.status.write(name, base + portOffsets.name, 'latin1');
      this.status.writeUInt32LE(index, base + portOffsets.interface);
      this.status.writeUInt32LE(1, base + portOffsets.mode);
    }
  }

  /** Counts packets of 100 bytes: at the first port with a reason, and for a mapping of the policy it runs. */
  count(packets: number, { reason, mapping }: { readonly reason: number; readonly mapping: number }): void {
    const half = (this.sequence & 1) * halves.mappings.entries;
    for (const base of [places.all.interfaces + reason * 16, places.all.mappings + (half + mapping) * 16]) {
      this.memory.writeBigUInt64LE(this.memory.readBigUInt64LE(base) + BigInt(packets), base);
      this.memory.writeBigUInt64LE(this.memory.readBigUInt64LE(base + 8) + BigInt(packets * 100), base + 8);
    }
  }

  /** Writes a record filled with one byte; false when the ring is full. */
  record(byte: number): boolean {
    const ring = places.all.ring;
    const written = this.memory.readBigUInt64LE(ring + ringOffsets.written);
    if (written - this.memory.readBigUInt64LE(ring + ringOffsets.taken) >= BigInt(capacity)) return false;
    const slot = ring + ringOffsets.slots + Number(written % BigInt(capacity)) * recordBytes;
    this.memory.fill(byte, slot, slot + recordBytes);
    this.memory.writeUInt32LE(this.sequence, slot + 44);
    this.memory.writeBigUInt64LE(written + 1n, ring + ringOffsets.written);
    return true;
  }

  load(sequence: number): void {
    this.sequence = sequence;
    const bytes = halves.mappings.entries * 16;
    const half = places.all.mappings + (sequence & 1) * bytes;
    this.memory.fill(0, half, half + bytes);
  }

  die(how: string): void {
    this.isAlive = false;
    this.end(how);
  }
}

export interface FakeFastpathHost extends FastpathHost {
  /** Of all that happened, in order: "start", "load 3", "add-port lan0", "unpin lan0", "kill". */
  readonly events: string[];
  readonly files: Map<string, Buffer>;
  readonly pins: Set<string>;
  /** The one that runs. */
  process(): FakeProcess;
  /** Answers to come instead of the right ones, by command. */
  readonly refusals: Map<string, string>;
  /** Why it does not start; empty: it does. */
  startRefusal: string;
}

const answerOf = (status: string, message = '', fields: Readonly<Record<string, unknown>> = {}): ControlAnswer => ({
  status,
  message,
  fields: { status, ...fields },
  rows: Buffer.alloc(0),
});

const indexOf = (name: string): number => Number(/\d+$/.exec(name)?.[0] ?? 0) + 2;

/** What a control connection can ask for. */
const commandsOf = (
  pins: Set<string>,
): Readonly<Record<string, (process: FakeProcess, words: readonly string[]) => Readonly<Record<string, unknown>>>> => ({
  hello: ({ pid, sequence }) => ({ process: pid, sequence, lanes: 1, inodes: [1, 2] }),
  load: (process, [, sequence]) => {
    process.load(Number(sequence));
    return {};
  },
  'add-port': (process, words) => {
    const name = (words[1] ?? '').split(':')[0] ?? '';
    process.ports.set(name, indexOf(name));
    pins.add(name);
    process.setPorts();
    return {};
  },
  'remove-port': (process, [name = '']) => {
    process.ports.delete(name);
    pins.delete(name);
    process.setPorts();
    return {};
  },
  stop: (process) => {
    for (const name of process.ports.keys()) pins.delete(name);
    process.die('it was stopped');
    return {};
  },
  flood: () => ({}),
  rows: () => ({ count: 0, cursor: 0 }),
});

/** Memory as the other process shares it. */
const bytesOf = (buffer: Buffer): Parameters<typeof openSharedMemory>[0] => ({
  read: (offset, length) => {
    const copy = Buffer.from(new ArrayBuffer(length));
    buffer.copy(copy, 0, offset, offset + length);
    return copy;
  },
  write: (offset, from) => buffer.set(from, offset),
  close: () => undefined,
});

export const createFakeFastpathHost = (probes: readonly EngineProbe[] = []): FakeFastpathHost => {
  let current: FakeProcess | null = null;
  let lastPid = 100;
  const pins = new Set<string>();
  const files = new Map<string, Buffer>();
  const events: string[] = [];
  const refusals = new Map<string, string>();
  const living = (): FakeProcess | null => (current?.isAlive === true ? current : null);
  const commands = commandsOf(pins);
  const host: FakeFastpathHost = {
    processors: 2,
    events,
    files,
    pins,
    refusals,
    startRefusal: '',
    process: () => {
      if (current === null) throw new Error('nothing was started');
      return current;
    },
    probe: async () => probes,
    start: (_engine, words): StartedProcess => {
      events.push('start');
      const started = new FakeProcess(++lastPid, words[words.indexOf('--control') + 1] ?? '');
      const ended = new Promise<string>((resolve) => (started.end = resolve));
      if (host.startRefusal !== '') {
        started.isAlive = false;
        return { pid: started.pid, ready: Promise.reject(new Error(host.startRefusal)), ended };
      }
      current = started;
      return { pid: started.pid, ready: Promise.resolve(), ended };
    },
    control: async (socket, [command = '', ...words]) => {
      const process = living();
      if (process?.socket !== socket) return answerOf('CONNECTION', 'nobody listens');
      if (command !== 'hello' && command !== 'rows')
        events.push([command, ...words].join(' ').replace(/\/\S+\.img |--interface |:0.*$/g, ''));
      const refusal = refusals.get(command);
      return refusal === undefined ? answerOf('OK', '', commands[command]?.(process, words) ?? {}) : answerOf('USAGE', refusal);
    },
    memory: (pid) => {
      const process = living();
      if (process?.pid !== pid) throw new Error('no such process');
      return openSharedMemory(bytesOf(process.memory), bytesOf(process.status));
    },
    isAlive: (pid) => living()?.pid === pid,
    kill: (pid) => {
      if (living()?.pid !== pid) return;
      events.push('kill');
      current?.die('it was ended by SIGKILL');
    },
    writeImage: async (path, image) => void files.set(path, Buffer.from(image)),
    removeImage: async (path) => void files.delete(path),
    isImage: async (path, image) => files.get(path)?.equals(image) ?? false,
    readText: (path) => files.get(path)?.toString('utf8') ?? '',
    writeText: (path, text) => void files.set(path, Buffer.from(text)),
    pinned: () => [...pins],
    unpin: async (_folder, name) => {
      events.push(`unpin ${name}`);
      pins.delete(name);
    },
  };
  return host;
};
