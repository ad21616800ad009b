import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import { dumpTable, nameOfReason, openDataPath, reasonNumber } from '../../native/test/support/data-path.ts';
import { address, frame4, frame6, tcp, tcpFlag } from '../../native/test/support/packets.ts';
import type { Choice, Kind } from './support/balanced.ts';
import { addServers, balancedPolicy, client, content, own, removeServers, server, virtual } from './support/balanced.ts';
import { ipOffset, transportOf, withChecksums } from './support/checksums.ts';
import { positionOf, ringOf } from './support/maglev.ts';
import type { Replay } from './support/replay.ts';
import { indexOf, openReplay } from './support/replay.ts';

let dataPath: DataPath;
let pinPath: string;
let replay: Replay;
let port = 1024;

const load = async (choice: Choice = {}): Promise<void> => {
  await dataPath.swap(balancedPolicy(choice), dataPath.state().sequence + 1);
};

/** States of the servers, for every balancer and family. */
const setStates = async (states: readonly number[]): Promise<void> => {
  await dataPath.setBackendStates(Uint8Array.from({ length: 18 }, (_, index) => states[index % 3] ?? 0));
};

beforeAll(async () => {
  addServers();
  const opened = await openDataPath();
  ({ dataPath, pinPath } = opened);
  await dataPath.attach('v0');
  replay = openReplay(pinPath, indexOf('v0'));
  await dataPath.setInterfaceAddresses([
    { index: indexOf('nat0'), address4: Buffer.from(address(own[4])), address6: Buffer.from(address(own[6])) },
  ]);
  await dataPath.setTxPorts(new Uint32Array([indexOf('nat0'), indexOf('v0')]));
});

afterAll(async () => {
  replay[Symbol.dispose]();
  await dataPath.remove();
  removeServers();
});

beforeEach(async () => {
  await load();
});

interface Sent {
  readonly family?: 4 | 6;
  readonly kind?: Kind;
  readonly from?: string;
  readonly fromPort?: number;
  readonly flags?: number;
}

const packet = ({ family = 4, kind = 'dnat', from = client[family], fromPort = (port += 1), flags = tcpFlag.syn }: Sent = {}): Buffer => {
  const payload = tcp({ from: fromPort, to: 80, flags });
  const to = virtual(family, kind);
  return withChecksums(family === 4 ? frame4({ from, to, protocol: 6, payload }) : frame6({ from, to, next: 6, payload }));
};

/** Index of the server a packet went to; -1: to none. */
const serverIn = (frame: Buffer): number => {
  const family = (frame[ipOffset(frame)] ?? 0) >> 4 === 4 ? 4 : 6;
  const at = ipOffset(frame) + (family === 4 ? 16 : 24);
  const found = frame.subarray(at, at + (family === 4 ? 4 : 16)).toString('hex');
  return [0, 1, 2, 3].findIndex((index) => Buffer.from(address(server(family, index))).toString('hex') === found);
};

const serversOf = (packets: readonly Buffer[]): readonly number[] => replay.run(packets).map(({ bytes }) => serverIn(bytes));

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

/** The ring of the first balancer's IPv4 servers, as loaded. */
const loadedRing = (): Uint16Array => {
  const [, value = ''] = (dumpTable(pinPath, 'nest_rings').find((row) => row.startsWith('00000000:')) ?? '').split(':');
  const bytes = Buffer.from(value, 'hex');
  return Uint16Array.from({ length: 65537 }, (_, index) => bytes.readUInt16LE(index * 2));
};

const modelRing = (choice: Choice): Uint16Array =>
  ringOf(
    (content(choice).balancers?.[0]?.backends ?? []).flatMap(({ address: bytes, weight = 1, state = 0, seed }, index) =>
      bytes.length === 4 && state === 0 && weight > 0 ? [{ index, weight, seed }] : [],
    ),
  );

describe('a ring', () => {
  it.each([{}, { weights: [1, 2, 5] }, { weights: [1000, 1, 3] }, { states: [0, 1, 0] }])(
    'is that of the description: %o',
    async (choice) => {
      await load(choice);
      expect(Buffer.from(loadedRing().buffer).equals(Buffer.from(modelRing(choice).buffer))).toBe(true);
    },
  );

  it('moves less than 2 % of the positions of those that stay, when one goes', async () => {
    const before = loadedRing();
    await setStates([0, 2, 0]);
    const after = loadedRing();
    const moved = range(65537).filter((position) => before[position] !== 1 && before[position] !== after[position]).length;
    expect({ lost: after.includes(1), share: moved / 65537 < 0.02 }).toEqual({ lost: false, share: true });
  });

  it('is asked at the position that the trace tells', async () => {
    for (const family of [4, 6] as const) {
      const fromPort = (port += 1);
      const { more } = await dataPath.trace(packet({ family, fromPort }), 'v0');
      const hashed = { source: address(client[family]), destination: address(virtual(family, 'dnat')), sourcePort: fromPort };
      expect([more.readUInt32LE(68), more.readUInt32LE(72)]).toEqual([1, positionOf({ ...hashed, destinationPort: 80, protocol: 6 })]);
    }
  });
});

describe('new flows', () => {
  it('are shared by weight', async () => {
    await load({ weights: [1, 2, 5] });
    const count = 8000;
    const chosen = serversOf(
      range(count).map((index) => packet({ from: `198.18.1.${String(1 + (index % 250))}`, fromPort: 2000 + index })),
    );
    for (const [index, weight] of [1, 2, 5].entries()) {
      const expected = (count * weight) / 8;
      // Five standard deviations of a fair choice.
      const tolerance = 5 * Math.sqrt(expected * (1 - weight / 8));
      expect(Math.abs(chosen.filter((each) => each === index).length - expected)).toBeLessThan(tolerance);
    }
  });

  it('of one source go to one server with affinity, whatever their ports', async () => {
    await load({ bySource: true });
    const groups = range(40).map((host) => serversOf(range(5).map(() => packet({ from: `198.18.1.${String(host + 1)}` }))));
    expect(groups.every((group) => new Set(group).size === 1)).toBe(true);
    expect(new Set(groups.flat()).size).toBe(3);
  });

  it('are dropped when no server is up, and say so', async () => {
    await setStates([2, 2, 2]);
    const frame = packet();
    const { trace, verdict } = await dataPath.trace(frame, 'v0');
    expect([replay.one(frame).action, verdict, nameOfReason(trace.readUInt8(8))]).toEqual(['drop', 'drop', 'NO_BACKEND']);
    await setStates([0, 0, 0]);
    expect(replay.one(frame).action).toBe('redirect');
  });
});

describe.each(['dnat', 'full', 'direct'] as const)('flows of %s', (kind) => {
  const chosenOf = (frames: readonly Buffer[]): readonly number[] =>
    kind === 'direct' ? replay.run(frames).map(({ bytes }) => (bytes[5] ?? 0) - 10) : serversOf(frames);
  const begin = (): { readonly ports: readonly number[]; readonly servers: readonly number[] } => {
    const ports = range(60).map(() => (port += 1));
    return { ports, servers: chosenOf(ports.map((fromPort) => packet({ kind, fromPort }))) };
  };
  const next = (ports: readonly number[]): readonly number[] =>
    chosenOf(ports.map((fromPort) => packet({ kind, fromPort, flags: tcpFlag.ack })));

  it('stay where a server drains, and new ones avoid it', async () => {
    const { ports, servers } = begin();
    await setStates([0, 1, 0]);
    expect(next(ports)).toEqual(servers);
    expect(begin().servers).not.toContain(1);
  });

  it('leave a server that is down, and only those', async () => {
    const { ports, servers } = begin();
    await setStates([0, 2, 0]);
    const after = next(ports);
    expect(after).not.toContain(1);
    expect(after.filter((_, index) => servers[index] !== 1)).toEqual(servers.filter((each) => each !== 1));
  });

  it('stay when servers come, go and change places', async () => {
    const { ports, servers } = begin();
    await load({ servers: [0, 1, 2, 3], weights: [1, 1, 1, 7] });
    expect(next(ports)).toEqual(servers);
    await load({ servers: [2, 1] });
    const after = next(ports);
    expect(after.filter((_, index) => servers[index] !== 0)).toEqual(servers.filter((each) => each !== 0));
    expect(after).not.toContain(0);
  });

  it('keep their source port while they stay', async () => {
    const fromPort = (port += 1);
    const portOf = (flags: number): number => {
      const { bytes } = replay.one(packet({ kind, fromPort, flags }));
      return bytes.readUInt16BE(transportOf(bytes)?.offset ?? 0);
    };
    const first = portOf(tcpFlag.syn);
    await load({ weights: [3, 2, 1] });
    expect([portOf(tcpFlag.ack), portOf(tcpFlag.ack)]).toEqual([first, first]);
  });
});

describe('an answer', () => {
  it('goes the old way until the client speaks, when its server is gone', async () => {
    const fromPort = (port += 1);
    const sent = replay.one(packet({ fromPort }));
    const chosen = serverIn(sent.bytes);
    const payload = tcp({ from: 8080, to: fromPort, flags: tcpFlag.ack });
    const answer = withChecksums(frame4({ from: server(4, chosen), to: client[4], protocol: 6, payload }));
    await setStates(range(3).map((index) => (index === chosen ? 2 : 0)));
    expect(replay.one(answer).bytes.subarray(26, 30)).toEqual(Buffer.from(address(virtual(4, 'dnat'))));
    expect(serverIn(replay.one(packet({ fromPort, flags: tcpFlag.ack })).bytes)).not.toBe(chosen);
    expect(replay.one(answer).action).toBe('drop');
  });
});

/** "0-3" is four: the kernel counts them from 0. */
const possibleCpus = (): number => Number(/(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))?.[1] ?? 0) + 1;

describe('source NAT', () => {
  it('says when it has no port left, and gives no port twice', () => {
    const frames = range(60_000).map((index) => packet({ kind: 'fixed', fromPort: 1 + index }));
    const sent = replay.run(frames).filter(({ action }) => action === 'pass');
    const ports = sent.map(({ bytes }) => bytes.readUInt16BE(34));
    // All but a few of this CPU's share of 28,232: eight tries find a free one until nearly all are taken.
    expect(ports.length).toBeGreaterThan((0.7 * 28_232) / possibleCpus());
    expect(new Set(ports).size).toBe(ports.length);
    const exhausted = dataPath.counters().interfaces[0]?.reasons[reasonNumber.NAT_EXHAUSTED * 2] ?? 0n;
    expect(exhausted).toBe(BigInt(60_000 - ports.length));
  });
});
