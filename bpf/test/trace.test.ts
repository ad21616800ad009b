import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  flowsOf,
  forgetRecords,
  judgeOn,
  nameOfReason,
  openDataPath,
  removeInterface,
} from '../../native/test/support/data-path.ts';
import { match } from '../../native/test/support/image-builder.ts';
import { extension, fragmentHeader, frame4, frame6, icmp, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import { client4, client6, closedPolicy, mapping, server4, server6, webPolicy } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;

beforeAll(async () => {
  addInterface('trace0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('trace0');
  judge = judgeOn(dataPath, opened.pinPath, 'trace0');
  await dataPath.swap(webPolicy(), 1);
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('trace0');
});

const flowStates = ['NOT_ASKED', 'MISS', 'HIT', 'STALE', 'IDLE', 'CLOSED'] as const;

const trace = async (packet: Buffer, interfaceName = 'trace0'): Promise<object> => {
  const { trace: row, verdict } = await dataPath.trace(packet, interfaceName);
  return {
    verdict,
    magic: row.readBigUInt64LE(0),
    reason: nameOfReason(row.readUInt8(8)),
    family: row.readUInt8(9),
    l4: row.readUInt8(10),
    flow: flowStates[row.readUInt8(11)],
    source: row.readUInt32LE(12),
    destination: row.readUInt32LE(16),
    match: row.readUInt32LE(20),
    sequence: row.readUInt32LE(24),
    l4Offset: row.readUInt16LE(28),
    tags: row.readUInt8(30),
    parse: row.readUInt8(31),
  };
};

const webMatch = match(mapping.allowWeb, 10, false);

describe('a trace', () => {
  it('explains the way of a new packet: identities, match, offsets', async () => {
    const packet = frame4({ from: client4, to: server4, protocol: 6, options: 8, payload: tcp({ from: 1 }) }, [0x8100]);
    expect(await trace(packet)).toEqual({
      verdict: 'pass',
      magic: 0n,
      reason: 'POLICY_ALLOW',
      family: 4,
      l4: 1,
      flow: 'MISS',
      source: 1,
      destination: 1,
      match: webMatch,
      sequence: 1,
      l4Offset: 14 + 4 + 28,
      tags: 1,
      parse: 1,
    });
  });

  it('changes no counter, no flow and no record', async () => {
    await forgetRecords(dataPath);
    const before = dataPath.counters();
    await trace(frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: 2 }) }));
    await trace(frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: 2, to: 23 }) }));
    await trace(frame6({ from: client6, to: server6, next: 44, payload: fragmentHeader(17, udp({}), { offset: 0, more: true }) }));
    expect(dataPath.counters()).toEqual(before);
    expect(await flowsOf(dataPath)).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(dataPath.takeRecords(10).records.length).toBe(0);
  });

  it('knows live, stale and closed flows, and judges them by their initiator', async () => {
    const reply = frame4({ from: server4, to: client4, protocol: 6, payload: tcp({ from: 443, to: 3, flags: tcpFlag.ack }) });
    const again = frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: 3 }) });
    judge.send(again);
    expect(await trace(reply)).toMatchObject({ reason: 'FLOW', flow: 'HIT', match: webMatch, source: 1 });
    await dataPath.swap(closedPolicy(), 2);
    expect(await trace(reply)).toMatchObject({ verdict: 'drop', reason: 'DEFAULT_DENY', flow: 'STALE', sequence: 2, match: 0 });
    expect((await flowsOf(dataPath)).length).toBe(1);
    judge.send(reply);
    expect(await trace(again)).toMatchObject({ reason: 'DEFAULT_DENY', flow: 'CLOSED' });
    await dataPath.swap(webPolicy(), 3);
    expect(await trace(reply)).toMatchObject({ verdict: 'pass', reason: 'FLOW', flow: 'STALE' });
  });

  it('says NO_POLICY where nothing is enforced, and refuses what is no packet', async () => {
    await expect(dataPath.trace(Buffer.alloc(13), 'trace0')).rejects.toMatchObject({ code: 'NATIVE_PACKET_INVALID' });
    await expect(dataPath.trace(Buffer.alloc(4000), 'trace0')).rejects.toMatchObject({ code: 'NATIVE_PACKET_INVALID' });
    await expect(dataPath.trace(Buffer.alloc(60), 'nothing0')).rejects.toMatchObject({ code: 'NATIVE_INTERFACE_UNKNOWN' });
    const { dataPath: empty } = await openDataPath();
    const { verdict, trace: row } = await empty.trace(Buffer.alloc(60), 'v0');
    expect([verdict, nameOfReason(row.readUInt8(8))]).toEqual(['pass', 'NO_POLICY']);
    await empty.remove();
  });

  it('agrees with the packet itself for 300 random packets', async () => {
    let seed = 0x7ace_0001;
    console.log(`seed ${String(seed)}`);
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (seed >>> 8) % limit;
    };
    const hosts4 = [client4, server4, '198.19.0.1'];
    const hosts6 = [client6, server6, '2001:db8:9::1'];
    const payloads = (): { readonly protocol: number; readonly payload: Buffer } => {
      const to = [22, 23, 53, 80, 443, 9999][random(6)] ?? 0;
      const kinds = [
        { protocol: 6, payload: tcp({ from: random(50), to, flags: random(32) }) },
        { protocol: 17, payload: udp({ from: random(50), to }) },
        { protocol: 47, payload: Buffer.alloc(8) },
        { protocol: 6, payload: tcp({}).subarray(0, random(20)) },
      ];
      return kinds[random(kinds.length)] ?? { protocol: 255, payload: Buffer.alloc(0) };
    };
    for (let round = 0; round < 300; round += 1) {
      const { protocol, payload } = payloads();
      const pick = (hosts: readonly string[]): { readonly from: string; readonly to: string } => ({
        from: hosts[random(3)] ?? '',
        to: hosts[random(3)] ?? '',
      });
      const packets = [
        frame4({ ...pick(hosts4), protocol, payload }),
        frame6({ ...pick(hosts6), next: protocol, payload }),
        frame6({ ...pick(hosts6), next: 60, payload: extension(58, icmp(128 + random(2), random(20))) }),
        frame4({ ...pick(hosts4), protocol: 1, payload: icmp(random(9), random(20)) }),
      ];
      const packet = packets[random(packets.length)] ?? Buffer.alloc(14);
      const expected = await trace(packet);
      const { verdict, reason } = judge.send(packet);
      expect({ packet: packet.toString('hex'), verdict, reason }).toMatchObject({
        verdict: (expected as { verdict: string }).verdict,
        reason: (expected as { reason: string }).reason,
      });
    }
  });
});
