import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Counters, DataPath } from '../../native/addon.ts';
import type { Judge, ReasonName } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  flowsOf,
  forgetRecords,
  generate,
  judgeOn,
  nameOfReason,
  openDataPath,
  reasonNumber,
  recordKinds,
  removeInterface,
  waitForRecords,
} from '../../native/test/support/data-path.ts';
import type { ImageAction } from '../../native/test/support/image-builder.ts';
import { buildImage } from '../../native/test/support/image-builder.ts';
import { frame4, frame6, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import { client4, client6, content, mapping, server4, server6 } from '../../native/test/support/policies.ts';

const perSource = 1;

/** Tests are over before the bucket gets its next packet. */
const slow = { mapping: mapping.allowWeb, packetsPerSecond: 1, burstPackets: 5 };

let dataPath: DataPath;
let judge: Judge;
let port = 10_000;

const load = async (action: ImageAction): Promise<void> => {
  await dataPath.swap(buildImage({ ...content, actions: [action] }), dataPath.state().sequence + 1);
};

beforeAll(async () => {
  addInterface('limit0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('limit0');
  judge = judgeOn(dataPath, opened.pinPath, 'limit0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('limit0');
});

beforeEach(() => {
  port += 100;
});

const query = (from: string, at = port, payload = 4): Buffer =>
  from.includes(':')
    ? frame6({ from, to: server6, next: 17, payload: udp({ from: at, payload }) })
    : frame4({ from, to: server4, protocol: 17, payload: udp({ from: at, payload }) });

const answer = (): Buffer => frame4({ from: server4, to: client4, protocol: 17, payload: udp({ from: 53, to: port }) });

/** What has been counted since: packets passed and over the limit on the mapping, and by reason on the interface. */
const since = (before: Counters, interfaceName = 'limit0'): Record<string, number> => {
  const after = dataPath.counters();
  const reason = (name: ReasonName): number => {
    const at = (counters: Counters): bigint =>
      counters.interfaces.find((row) => row.name === interfaceName)?.reasons[reasonNumber[name] * 2] ?? 0n;
    return Number(at(after) - at(before));
  };
  return {
    passed: Number((after.active.values[mapping.allowWeb * 2] ?? 0n) - (before.active.values[mapping.allowWeb * 2] ?? 0n)),
    over: Number((after.active.limits[mapping.allowWeb * 2] ?? 0n) - (before.active.limits[mapping.allowWeb * 2] ?? 0n)),
    begun: reason('POLICY_ALLOW'),
    flow: reason('FLOW'),
    limited: reason('RATE_LIMIT'),
  };
};

const repeated = (packet: Buffer, count: number): readonly Buffer[] => Array.from({ length: count }, () => packet);

describe('a rate limit', () => {
  it('lets the burst pass and drops the rest of a flow, each packet counted once', async () => {
    await load(slow);
    const before = dataPath.counters();
    judge.sendAll(repeated(query(client4), 40));
    expect(since(before)).toEqual({ passed: 5, over: 35, begun: 1, flow: 4, limited: 35 });
  });

  it('is shared by all flows of the mapping, and begins none over the limit', async () => {
    await load(slow);
    const flows = (await flowsOf(dataPath)).length;
    const before = dataPath.counters();
    judge.sendAll(Array.from({ length: 20 }, (_, index) => query(index % 2 === 0 ? client4 : client6, port + index)));
    expect(since(before)).toEqual({ passed: 5, over: 15, begun: 5, flow: 0, limited: 15 });
    expect((await flowsOf(dataPath)).length).toBe(flows + 5);
  });

  it('is not asked for what comes back, and not for other mappings', async () => {
    await load(slow);
    judge.sendAll(repeated(query(client4), 10));
    const before = dataPath.counters();
    judge.sendAll(repeated(answer(), 20));
    expect(since(before)).toEqual({ passed: 20, over: 0, begun: 0, flow: 20, limited: 0 });
    expect(judge.send(frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ to: 23 }) })).reason).toBe('POLICY_DENY');
    expect(judge.send(query(client4))).toEqual({ verdict: 'drop', reason: 'RATE_LIMIT', mapping: undefined });
  });

  it('counts the flow only for what passed', async () => {
    await load(slow);
    judge.sendAll(repeated(query(client4), 30));
    const flow = (await flowsOf(dataPath)).find(({ sourcePort }) => sourcePort === port);
    expect(flow).toMatchObject({ packets: [5n, 0n], mapping: mapping.allowWeb });
  });

  it('per source gives each address, and each IPv6 /64, a bucket of its own', async () => {
    await load({ ...slow, flags: perSource });
    const counts = ['198.18.1.11', '198.18.1.12', '2001:db8:1::1', '2001:db8:1::ffff'].map((from) => {
      const before = dataPath.counters();
      judge.sendAll(repeated(query(from), 12));
      return since(before)['passed'];
    });
    expect(counts).toEqual([5, 5, 5, 0]);
  });

  it('per source begins full with a policy of another rate, whatever the bucket of an older one says', async () => {
    const passed = async (packetsPerSecond: number): Promise<number | undefined> => {
      await load({ ...slow, packetsPerSecond, flags: perSource });
      const before = dataPath.counters();
      judge.sendAll(repeated(query('198.18.1.20'), 12));
      return since(before)['passed'];
    };
    expect(await passed(1_000_000_000)).toBe(12);
    // Of no source: the half of the policy in between.
    await load(slow);
    expect(await passed(1)).toBe(5);
    await load(slow);
    expect(await passed(1_000_000_000)).toBe(12);
  });

  it('takes later fragments too', async () => {
    await load({ ...slow, burstPackets: 3 });
    const fragment = (offset: number): Buffer =>
      frame4({
        from: client4,
        to: server4,
        protocol: 17,
        fragmentOffset: offset,
        moreFragments: true,
        identification: port,
        payload: offset === 0 ? udp({ from: port, payload: 8 }) : Buffer.alloc(16),
      });
    expect([0, 2, 4, 6, 8].map((offset) => judge.send(fragment(offset)).reason)).toEqual([
      'POLICY_ALLOW',
      'FRAGMENT',
      'FRAGMENT',
      'RATE_LIMIT',
      'RATE_LIMIT',
    ]);
  });

  it('of bytes takes the length on the wire', async () => {
    const sent = query(client4, port, 1000);
    await load({ mapping: mapping.allowWeb, bytesPerSecond: 1, burstBytes: sent.length * 3 + 10 });
    const before = dataPath.counters();
    judge.sendAll(repeated(sent, 10));
    expect(since(before)).toMatchObject({ passed: 3, over: 7 });
    const { limits } = dataPath.counters().active;
    expect(limits[mapping.allowWeb * 2 + 1]).toBe(BigInt(sent.length * 7));
  });

  it('of packets and bytes takes both or none', async () => {
    await load({ mapping: mapping.allowWeb, packetsPerSecond: 1, burstPackets: 6, bytesPerSecond: 1, burstBytes: 2000 });
    const large = query(client4, port, 1400);
    const small = query(client4, port);
    const before = dataPath.counters();
    judge.sendAll([large, large, large, ...repeated(small, 7)]);
    // One large packet, then no bytes for more of them; what they did not get is there for five small ones.
    expect(since(before)).toMatchObject({ passed: 6, over: 4 });
  });

  it('records what it drops with the mapping', async () => {
    await load({ ...slow, burstPackets: 1 });
    judge.send(query(client4));
    await forgetRecords(dataPath);
    judge.send(query(client4));
    expect(await waitForRecords(dataPath, 1)).toMatchObject([
      { kind: recordKinds.deny, reason: 'RATE_LIMIT', mapping: mapping.allowWeb, sourcePort: port },
    ]);
  });

  it('comes and goes with the policy, also for live flows', async () => {
    await load({ mapping: mapping.allowWeb });
    judge.sendAll(repeated(query(client4), 50));
    await load(slow);
    const limited = dataPath.counters();
    judge.sendAll(repeated(query(client4), 50));
    expect(since(limited)).toMatchObject({ passed: 5, over: 45 });
    await load({ mapping: mapping.allowWeb });
    const free = dataPath.counters();
    judge.sendAll(repeated(query(client4), 50));
    expect(since(free)).toMatchObject({ passed: 50, over: 0 });
  });

  it('drops a connection attempt over the limit, and lets a later one begin', async () => {
    await load({ ...slow, packetsPerSecond: 20, burstPackets: 1 });
    const syn = (at: number): Buffer => frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: at, flags: tcpFlag.syn }) });
    judge.sendAll([syn(port), syn(port + 1)]);
    expect((await flowsOf(dataPath)).filter(({ sourcePort }) => sourcePort >= port).map(({ sourcePort }) => sourcePort)).toEqual([port]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(judge.send(syn(port + 1)).reason).toBe('POLICY_ALLOW');
  });

  it('is explained by a trace, which takes nothing', async () => {
    await load({ ...slow, burstPackets: 2 });
    const trace = async (): Promise<readonly unknown[]> => {
      const { trace: row, more, verdict } = await dataPath.trace(query(client4), 'limit0');
      return [verdict, nameOfReason(row.readUInt8(8)), more.readUInt8(77)];
    };
    for (let round = 0; round < 5; round += 1) expect(await trace()).toEqual(['pass', 'POLICY_ALLOW', 1]);
    judge.send(query(client4));
    expect(await trace()).toEqual(['pass', 'FLOW', 1]);
    judge.send(query(client4));
    expect(await trace()).toEqual(['drop', 'RATE_LIMIT', 2]);
    expect(judge.send(query(client4)).reason).toBe('RATE_LIMIT');
  });
});

describe('on a wire', () => {
  it('passes the rate, drops the rest, and counts every packet that was sent', async () => {
    const attached = await dataPath.attach('v0');
    expect(attached.mode).toBe('native');
    await load({ mapping: mapping.allowWeb, packetsPerSecond: 10_000, burstPackets: 100 });
    const before = dataPath.counters();
    const startMs = performance.now();
    const sent = await generate(query(client4), ['--count', '60000', '--rate', '50000', '--vary-offset', '34', '--flows', '64']);
    const seconds = (performance.now() - startMs) / 1000;
    const { passed = 0, over = 0, begun = 0, flow = 0, limited = 0 } = since(before, 'v0');
    console.log(`${String(sent)} sent, ${String(passed)} passed in less than ${seconds.toFixed(2)} s`);
    expect(passed + over).toBe(sent);
    expect([begun + flow, limited]).toEqual([passed, over]);
    expect(passed).toBeLessThanOrEqual(100 + 10_000 * seconds);
    // 60,000 packets at 50,000 a second last at least 1.2 s; a sender that was held up has lost tokens beyond the burst.
    expect(passed).toBeGreaterThan(6_000);
  });
});
