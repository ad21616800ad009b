import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  decodeRecords,
  defaultMapping,
  flowsOf,
  forgetRecords,
  judgeOn,
  loseTable,
  openDataPath,
  recordKinds,
  removeInterface,
  waitForRecords,
} from '../../native/test/support/data-path.ts';
import { buildImage, l4, match } from '../../native/test/support/image-builder.ts';
import { address, frame4, frame6, icmp, tcp, udp } from '../../native/test/support/packets.ts';
import { client4, client6, mapping, openPolicy, server4, server6, stranger4, webPolicy } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;
let sequence = 0;
let pin: string;

const load = async (image: Buffer): Promise<void> => {
  sequence += 1;
  await dataPath.swap(image, sequence);
};

beforeAll(async () => {
  addInterface('policy0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  pin = opened.pinPath;
  await dataPath.attach('policy0');
  judge = judgeOn(dataPath, opened.pinPath, 'policy0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('policy0');
});

let port = 10_000;
const syn = (to: number, from = client4, target = server4): Buffer =>
  frame4({ from, to: target, protocol: 6, payload: tcp({ from: port++, to }) });

describe('the policy look-up', () => {
  beforeAll(async () => {
    await load(webPolicy());
  });

  it('allows by the mapping whose port interval holds the port, with both ends included', () => {
    expect([19, 20, 80, 81, 442, 443, 444].map((to) => judge.send(syn(to)).reason)).toEqual([
      'DEFAULT_DENY',
      'POLICY_ALLOW',
      'POLICY_ALLOW',
      'DEFAULT_DENY',
      'DEFAULT_DENY',
      'POLICY_ALLOW',
      'DEFAULT_DENY',
    ]);
  });

  it('lets the higher priority win over the more specific pair, and counts it on that mapping', () => {
    expect(judge.send(syn(23))).toEqual({ verdict: 'drop', reason: 'POLICY_DENY', mapping: mapping.denyTelnet });
  });

  it('counts what no mapping matches on the default action', () => {
    expect(judge.send(syn(443, stranger4))).toEqual({ verdict: 'drop', reason: 'DEFAULT_DENY', mapping: defaultMapping });
  });

  it('judges IPv6 by its own prefixes', () => {
    const outcome = [server6, 'fd00::1'].map(
      (to) => judge.send(frame6({ from: client6, to, next: 6, payload: tcp({ from: port++ }) })).reason,
    );
    expect(outcome).toEqual(['POLICY_ALLOW', 'DEFAULT_DENY']);
  });

  it('keeps transport classes apart', () => {
    const outcome = [53, 443].map(
      (to) => judge.send(frame4({ from: client4, to: server4, protocol: 17, payload: udp({ from: port++, to }) })).reason,
    );
    expect(outcome).toEqual(['POLICY_ALLOW', 'DEFAULT_DENY']);
  });

  it('allows by default when the policy says so', async () => {
    await load(openPolicy());
    expect([judge.send(syn(9999)), judge.send(syn(23))]).toEqual([
      { verdict: 'pass', reason: 'DEFAULT_ALLOW', mapping: defaultMapping },
      { verdict: 'drop', reason: 'POLICY_DENY', mapping: mapping.denyTelnet },
    ]);
  });

  it('prefers deny at equal priority, and the longest prefix for the class', async () => {
    const allow = match(0, 7, false);
    const deny = match(1, 7, true);
    await load(
      buildImage({
        sourceClasses: 2,
        destinationClasses: 1,
        identities4: [
          { address: address('198.18.0.0'), length: 15, source: 1, destination: 1 },
          { address: address(client4), length: 32, source: 2, destination: 1 },
        ],
        pairs: [
          { source: 1, destination: 0, l4: l4.tcp, ports: allow },
          { source: 2, destination: 0, l4: l4.tcp, ports: allow },
          { source: 2, destination: 1, l4: l4.tcp, ports: deny },
        ],
        mappings: [
          { name: 'a', priority: 7 },
          { name: 'b', deny: true, priority: 7 },
        ],
      }),
    );
    expect([judge.send(syn(1, '198.18.1.11')), judge.send(syn(1))]).toEqual([
      { verdict: 'pass', reason: 'POLICY_ALLOW', mapping: 0 },
      { verdict: 'drop', reason: 'POLICY_DENY', mapping: 1 },
    ]);
  });

  it('finds every port in a set of 65,536 intervals', async () => {
    const even = match(0, 1, false);
    await load(
      buildImage({
        pairs: [
          {
            source: 0,
            destination: 0,
            l4: l4.tcp,
            ports: Array.from({ length: 65_536 }, (_, start) => [start, start % 2 === 0 ? even : 0] as const),
          },
        ],
        mappings: [{ name: 'even', priority: 1 }],
      }),
    );
    expect([0, 1, 2, 32_767, 32_768, 65_534, 65_535].map((to) => judge.send(syn(to)).reason)).toEqual([
      'POLICY_ALLOW',
      'DEFAULT_DENY',
      'POLICY_ALLOW',
      'DEFAULT_DENY',
      'POLICY_ALLOW',
      'POLICY_ALLOW',
      'DEFAULT_DENY',
    ]);
  });
});

describe('a denied packet', () => {
  it('leaves no flow behind, and a record that names the mapping', async () => {
    await load(webPolicy());
    const before = (await flowsOf(dataPath)).length;
    await forgetRecords(dataPath);
    judge.send(syn(23));
    const records = await waitForRecords(dataPath, 1);
    expect((await flowsOf(dataPath)).length).toBe(before);
    expect(records).toMatchObject([
      { kind: recordKinds.deny, reason: 'POLICY_DENY', mapping: mapping.denyTelnet, destinationPort: 23, packets: [1n, 0n] },
    ]);
  });

  it('is recorded at most 1,000 times a second and CPU, and the rest is counted as suppressed', async () => {
    await forgetRecords(dataPath);
    const before = dataPath.counters().losses[1] ?? 0n;
    const packets = 6000;
    judge.sendAll(Array.from({ length: packets }, () => syn(23)));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const recorded = decodeRecords(dataPath.takeRecords(100_000).records).length;
    const suppressed = Number((dataPath.counters().losses[1] ?? 0n) - before);
    expect(suppressed).toBeGreaterThan(0);
    expect(recorded + suppressed).toBe(packets);
  });
});

describe('a missing table', () => {
  it.each(['nest_ident4', 'nest_pairs', 'nest_ports'])(
    '%s lets packets pass as TABLE_MISSING, and the next policy heals it',
    async (table) => {
      await load(webPolicy());
      loseTable(pin, table);
      expect(judge.send(syn(23))).toEqual({ verdict: 'pass', reason: 'TABLE_MISSING', mapping: undefined });
      await load(webPolicy());
      expect(judge.send(syn(23)).reason).toBe('POLICY_DENY');
    },
  );
});

describe('ICMP', () => {
  beforeAll(async () => {
    await load(webPolicy());
  });

  it('makes one flow of an echo request and its reply', () => {
    const request = frame4({ from: client4, to: server4, protocol: 1, payload: icmp(8, 77) });
    const reply = frame4({ from: server4, to: client4, protocol: 1, payload: icmp(0, 77) });
    expect([judge.send(request), judge.send(reply), judge.send(request)]).toEqual([
      { verdict: 'pass', reason: 'POLICY_ALLOW', mapping: mapping.allowPing },
      { verdict: 'pass', reason: 'FLOW', mapping: mapping.allowPing },
      { verdict: 'pass', reason: 'FLOW', mapping: mapping.allowPing },
    ]);
  });

  it('refuses a reply nobody asked for', () => {
    expect(judge.send(frame4({ from: server4, to: client4, protocol: 1, payload: icmp(0, 78) })).reason).toBe('DEFAULT_DENY');
  });

  it('judges other types each time', async () => {
    const before = (await flowsOf(dataPath)).length;
    const unreachable = frame6({ from: client6, to: server6, next: 58, payload: icmp(1) });
    expect([judge.send(unreachable).reason, judge.send(unreachable).reason, (await flowsOf(dataPath)).length]).toEqual([
      'POLICY_ALLOW',
      'POLICY_ALLOW',
      before,
    ]);
  });
});
