import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Counters, DataPath } from '../addon.ts';
import { compilePolicy, parsePolicy } from '../image/api.ts';
import { defaultMapping, generate, onPeer, openDataPath, packetTool, reasonNumber, recordBytes } from './support/data-path.ts';
import { buildImage, l4, match } from './support/image-builder.ts';
import { frame4, frame6, framed, tcp, tcpFlag, udp } from './support/packets.ts';
import { client4, client6, mapping, server4, server6, webPolicy } from './support/policies.ts';

let dataPath: DataPath;

beforeAll(async () => {
  ({ dataPath } = await openDataPath());
  await dataPath.attach('v0');
});

afterAll(async () => {
  await dataPath.remove();
});

const load = async (image: Uint8Array): Promise<void> => {
  await dataPath.swap(image, dataPath.state().sequence + 1);
};
const reason = (counters: Counters, name: keyof typeof reasonNumber): bigint =>
  counters.interfaces[0]?.reasons[reasonNumber[name] * 2] ?? 0n;

describe('counting', () => {
  it('counts 100,000 packets from the wire exactly, by reason and mapping, v4 and v6, allowed and denied', async () => {
    await load(webPolicy());
    const packets = [
      ...Array.from({ length: 10 }, (_, from) =>
        frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from, flags: tcpFlag.ack }) }),
      ),
      ...Array.from({ length: 5 }, (_, from) => frame6({ from: client6, to: server6, next: 17, payload: udp({ from }) })),
      ...Array.from({ length: 3 }, (_, from) => frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from, to: 23 }) })),
      ...Array.from({ length: 2 }, (_, from) => frame6({ from: server6, to: client6, next: 17, payload: udp({ from: 1000 + from }) })),
    ];
    const before = dataPath.counters();
    onPeer(packetTool, ['send', '--interface', 'v1', '--count', '100000'], framed(packets));
    const after = dataPath.counters();
    const grown = (name: keyof typeof reasonNumber): bigint => reason(after, name) - reason(before, name);
    expect([grown('POLICY_ALLOW'), grown('FLOW'), grown('POLICY_DENY'), grown('DEFAULT_DENY')]).toEqual([15n, 74_985n, 15_000n, 10_000n]);
    expect([mapping.allowWeb, mapping.denyTelnet, defaultMapping].map((index) => after.active.values[index * 2])).toEqual([
      75_000n,
      15_000n,
      10_000n,
    ]);
    expect(after.active.values[mapping.allowWeb * 2 + 1]).toBe(50_000n * 54n + 25_000n * 66n);
  });

  it('starts at zero with each policy and keeps the last one until the next', async () => {
    const last = dataPath.counters().active;
    await load(webPolicy());
    const counters = dataPath.counters();
    expect(counters.retired).toEqual(last);
    expect(counters.active.values.every((value) => value === 0n)).toBe(true);
    await load(webPolicy());
    expect(dataPath.counters().retired?.values.every((value) => value === 0n)).toBe(true);
  });
});

describe('a swap', () => {
  it('refuses a sequence that does not follow, and changes nothing', async () => {
    const { sequence } = dataPath.state();
    for (const wrong of [sequence, sequence - 1, sequence + 2, 0])
      await expect(dataPath.swap(webPolicy(), wrong)).rejects.toMatchObject({ code: 'NATIVE_SYSTEM' });
    expect(dataPath.state().sequence).toBe(sequence);
  });

  it('loses and misjudges no packet at 50,000 a second', async () => {
    const allowed = frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: 9, flags: tcpFlag.ack }) });
    const policies = [
      buildImage({ pairs: [{ source: 0, destination: 0, l4: l4.tcp, ports: match(0, 3, false) }], mappings: [{ name: 'a', priority: 3 }] }),
      webPolicy(),
    ];
    const before = dataPath.counters();
    const sending = generate(allowed, ['--count', '100000', '--rate', '50000', '--vary-offset', '34', '--flows', '512']);
    let swaps = 0;
    for (let isSending = true; isSending; swaps += 1) {
      await load(policies[swaps % 2] ?? webPolicy());
      isSending = await Promise.race([sending.then(() => false), new Promise<boolean>((resolve) => setImmediate(() => resolve(true)))]);
    }
    const sent = await sending;
    const after = dataPath.counters();
    console.log(`${String(swaps)} swaps during ${String(sent)} packets`);
    expect(swaps).toBeGreaterThan(2);
    expect(reason(after, 'POLICY_ALLOW') - reason(before, 'POLICY_ALLOW') + reason(after, 'FLOW') - reason(before, 'FLOW')).toBe(
      BigInt(sent),
    );
    expect(reason(after, 'DEFAULT_DENY')).toBe(reason(before, 'DEFAULT_DENY'));
  });

  it('loads what the policy compiler makes', async () => {
    const policy = parsePolicy({
      apiVersion: 'nest/v1',
      kind: 'Policy',
      defaultAction: 'deny',
      services: [{ name: 'here', addresses: ['198.18.0.0/24', '2001:db8::/64'] }],
      mappings: [{ name: 'ping', sources: ['here'], destinations: ['here'], protocols: ['icmp'], ports: [], action: 'allow', priority: 1 }],
    });
    await load(compilePolicy(policy).image);
    const ping = (host: string): void => {
      onPeer('ping', ['-c', '2', '-i', '0.2', '-W', '2', host]);
    };
    ping('198.18.0.1');
    ping('2001:db8::1');
    expect(dataPath.counters().active.values[0]).toBe(4n);
    await load(buildImage({}));
    expect(() => ping('198.18.0.1')).toThrow();
  });

  it('fills 100,000 pairs', async () => {
    const word = match(0, 1, false);
    const classes = 400;
    const image = buildImage({
      sourceClasses: classes,
      destinationClasses: 250,
      pairs: Array.from({ length: 100_000 }, (_, index) => ({
        source: 1 + Math.floor(index / 250),
        destination: 1 + (index % 250),
        l4: l4.tcp,
        ports: word,
      })),
      mappings: [{ name: 'a', priority: 1 }],
    });
    const result = await dataPath.swap(image, dataPath.state().sequence + 1);
    console.log(`100,000 pairs: load ${result.loadMs.toFixed(1)} ms, flip ${result.flipMs.toFixed(1)} ms`);
    expect(result.sequence).toBe(dataPath.state().sequence);
  });
});

describe('flow records', () => {
  it('account for every flow: delivered or counted as lost', async () => {
    await load(webPolicy());
    await new Promise((resolve) => setTimeout(resolve, 60));
    dataPath.takeRecords(100_000);
    const flows = 20_000;
    onPeer(packetTool, [
      'send',
      '--interface',
      'v1',
      '--count',
      String(flows),
      '--vary',
      `34:${String(flows)}`,
      '--template',
      frame4({ from: '198.18.1.77', to: server4, protocol: 6, payload: tcp({ from: 1 }) }).toString('hex'),
    ]);
    let delivered = 0;
    let lost = 0n;
    for (let round = 0; round < 20; round += 1) {
      const taken = dataPath.takeRecords(5000);
      delivered += taken.records.length / recordBytes;
      lost += taken.lost;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(BigInt(delivered) + lost).toBe(BigInt(flows));
    expect(delivered).toBeGreaterThan(flows / 2);
  });
});
