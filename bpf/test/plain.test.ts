/** The short way of plain packets agrees with the parser: the same flow, the same counts, and no packet that the parser refuses. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import { addInterface, flowsOf, judgeOn, openDataPath, removeInterface } from '../../native/test/support/data-path.ts';
import { extension, frame4, frame6, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import { client4, client6, openPolicy, server4, server6 } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;
let port = 30_000;

beforeAll(async () => {
  addInterface('plain0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('plain0');
  judge = judgeOn(dataPath, opened.pinPath, 'plain0');
  await dataPath.swap(openPolicy(), dataPath.state().sequence + 1);
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('plain0');
});

beforeEach(() => {
  port += 1;
});

const { ack } = tcpFlag;
const ends4 = { from: client4, to: server4 };
const ends6 = { from: client6, to: server6 };
const reasonsOf = (packets: readonly Buffer[]): readonly unknown[] => packets.map((packet) => judge.send(packet).reason);
const totalsOf = async (): Promise<unknown> => {
  const flow = (await flowsOf(dataPath)).find((each) => each.sourcePort === port);
  return flow && { packets: flow.packets, bytes: flow.bytes };
};
const bytesOf = (packets: readonly Buffer[]): bigint => packets.reduce((sum, packet) => sum + BigInt(packet.length), 0n);

/** A beginning, a plain packet, and the same flow in two ways that only the parser takes. */
const ways = {
  'TCP over IPv4': () => {
    const payload = tcp({ from: port, to: 443, flags: ack, payload: 3 });
    const ip = { ...ends4, protocol: 6, payload };
    return [frame4(ip), frame4(ip), frame4(ip, [0x8100]), frame4({ ...ip, options: 8 })];
  },
  'UDP over IPv4': () => {
    const ip = { ...ends4, protocol: 17, payload: udp({ from: port }) };
    return [frame4(ip), frame4(ip), frame4(ip, [0x88a8, 0x8100]), frame4({ ...ip, options: 4 })];
  },
  'TCP over IPv6': () => {
    const payload = tcp({ from: port, to: 443, flags: ack, options: 12 });
    const ip = { ...ends6, next: 6, payload };
    return [frame6(ip), frame6(ip), frame6(ip, [0x8100]), frame6({ ...ip, next: 60, payload: extension(6, payload) })];
  },
  'UDP over IPv6': () => {
    const payload = udp({ from: port, payload: 0 });
    const ip = { ...ends6, next: 17, payload };
    return [frame6(ip), frame6(ip), frame6(ip, [0x8100]), frame6({ ...ip, next: 0, payload: extension(17, payload, 2) })];
  },
} as const;

describe('a plain packet', () => {
  it.each(Object.entries(ways))('finds and counts the flow as the parser does: %s', async (_, packetsOf) => {
    const packets = packetsOf();
    expect(reasonsOf(packets)).toEqual([expect.stringMatching(/_ALLOW$/), 'FLOW', 'FLOW', 'FLOW']);
    expect(await totalsOf()).toEqual({ packets: [4n, 0n], bytes: [bytesOf(packets), 0n] });
  });

  it('is told from its reply when only the ports differ', async () => {
    const ends = { from: client6, to: client6, next: 17 };
    const there = frame6({ ...ends, payload: udp({ from: port, to: 53 }) });
    const back = frame6({ ...ends, payload: udp({ from: 53, to: port }) });
    expect(reasonsOf([there, back, there])).toEqual(['DEFAULT_ALLOW', 'FLOW', 'FLOW']);
    expect(await totalsOf()).toMatchObject({ packets: [2n, 1n] });
  });

  it('is refused in a live flow as anywhere when a header is cut or contradicts itself', async () => {
    const payload = tcp({ from: port, to: 443, flags: ack });
    const first4 = frame4({ ...ends4, protocol: 6, payload });
    const odd = (dataOffset: number): Buffer => tcp({ from: port, to: 443, flags: ack, dataOffset });
    judge.send(first4);
    expect(
      reasonsOf([
        frame4({ ...ends4, protocol: 6, payload: odd(4) }),
        frame4({ ...ends4, protocol: 6, payload: odd(6) }),
        frame4({ ...ends4, protocol: 6, payload, totalLength: 39 }),
        frame4({ ...ends4, protocol: 6, payload, totalLength: 41 }),
        frame4({ ...ends4, protocol: 6, payload, totalLength: 19 }),
        frame4({ ...ends4, protocol: 6, payload, version: 5 }),
        frame4({ ...ends4, protocol: 6, payload, ihl: 4 }),
        first4.subarray(0, -1),
      ]),
    ).toEqual(['MALFORMED', 'TRUNCATED', 'TRUNCATED', 'TRUNCATED', 'MALFORMED', 'MALFORMED', 'MALFORMED', 'TRUNCATED']);
    expect(await totalsOf()).toEqual({ packets: [1n, 0n], bytes: [bytesOf([first4]), 0n] });
  });

  it('is refused in a live IPv6 flow likewise', async () => {
    const payload = udp({ from: port });
    const first6 = frame6({ ...ends6, next: 17, payload });
    judge.send(first6);
    expect(
      reasonsOf([
        frame6({ ...ends6, next: 17, payload, payloadLength: 7 }),
        frame6({ ...ends6, next: 17, payload, payloadLength: payload.length + 1 }),
        frame6({ ...ends6, next: 17, payload, version: 4 }),
      ]),
    ).toEqual(['TRUNCATED', 'TRUNCATED', 'MALFORMED']);
    expect(await totalsOf()).toEqual({ packets: [1n, 0n], bytes: [bytesOf([first6]), 0n] });
  });
});
