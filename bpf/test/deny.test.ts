import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  decodeRecords,
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
import { buildImage, denySection } from '../../native/test/support/image-builder.ts';
import { address, frame4, frame6, tcp, tcpFlag } from '../../native/test/support/packets.ts';
import { client4, client6, content, mapping, server4, server6 } from '../../native/test/support/policies.ts';

/** Indexes of the lists below. */
const abuse = 0;
const range = 1;
const listed4 = '198.18.1.66';
const listed6 = '2001:db8:1::66';
const judgedStat = 0;

const denyPolicy = (): Buffer =>
  buildImage({
    ...content,
    denyLists: ['abuse', 'range'],
    deny4: [
      { address: address('198.18.1.64'), length: 28, list: range },
      { address: address(listed4), length: 32, list: abuse },
      { address: address('198.18.2.128'), length: 25, list: range },
    ],
    deny6: [
      { address: address(listed6), length: 128, list: abuse },
      { address: address('2001:db8:1:0:8000::'), length: 65, list: range },
    ],
  });

let dataPath: DataPath;
let judge: Judge;
let port = 20_000;

interface Shape {
  readonly flags?: number;
  /** EtherTypes, outermost first. */
  readonly tags?: readonly number[];
}

const load = async (): Promise<void> => {
  await dataPath.swap(denyPolicy(), dataPath.state().sequence + 1);
};

beforeAll(async () => {
  addInterface('deny0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('deny0');
  judge = judgeOn(dataPath, opened.pinPath, 'deny0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('deny0');
});

beforeEach(async () => {
  port += 10;
  dataPath.setFlood(false);
  await load();
});

const packet = (from: string, to: string, { flags = tcpFlag.syn, tags = [] }: Shape = {}): Buffer => {
  const ports = from === server4 || from === server6 ? { from: 443, to: port } : { from: port, to: 443 };
  const payload = tcp({ ...ports, flags });
  return from.includes(':') ? frame6({ from, to, next: 6, payload }) : frame4({ from, to, protocol: 6, payload }, tags);
};

/** Packets that each list has dropped. */
const hits = (): readonly bigint[] => [abuse, range].map((list) => dataPath.counters().active.denyLists[list * 2] ?? 0n);

const denied = { verdict: 'drop', reason: 'DENY_LIST', mapping: undefined };
const allowed = { verdict: 'pass', reason: 'POLICY_ALLOW', mapping: mapping.allowWeb };

const change = async (from: string, isAdded: boolean): Promise<void> => {
  const bytes = address(from);
  const row = denySection([{ address: bytes, length: bytes.length * 8, list: abuse }]);
  await dataPath.updateDeny(bytes.length === 4 ? 4 : 6, isAdded ? row : new Uint8Array(0), isAdded ? new Uint8Array(0) : row);
};

describe('a deny list', () => {
  it.each([
    { what: 'an address as the source', ends: [listed4, server4], counts: [1n, 0n] },
    { what: 'an address as the destination', ends: [server4, listed4], counts: [1n, 0n] },
    { what: 'a prefix as the source', ends: ['198.18.1.70', server4], counts: [0n, 1n] },
    { what: 'a prefix as the destination', ends: [client4, '198.18.2.200'], counts: [0n, 1n] },
    { what: 'an IPv6 address as the source', ends: [listed6, server6], counts: [1n, 0n] },
    { what: 'an IPv6 address as the destination', ends: [server6, listed6], counts: [1n, 0n] },
    { what: 'an IPv6 prefix as the source', ends: ['2001:db8:1:0:ffff::1', server6], counts: [0n, 1n] },
    { what: 'an IPv6 prefix as the destination', ends: [client6, '2001:db8:1:0:8000::'], counts: [0n, 1n] },
  ] as const)('drops $what, counts it on that list and on no mapping, and leaves no flow', async ({ ends: [from, to], counts }) => {
    const flows = (await flowsOf(dataPath)).length;
    expect(judge.send(packet(from, to))).toEqual(denied);
    expect(hits()).toEqual(counts);
    expect((await flowsOf(dataPath)).length).toBe(flows);
  });

  it('lets everything else pass', () => {
    expect([packet(client4, server4), packet('198.18.1.80', server4), packet(client6, server6)].map(judge.send)).toEqual([
      allowed,
      allowed,
      allowed,
    ]);
    expect(hits()).toEqual([0n, 0n]);
  });

  it('counts the bytes of what it drops, and records it', async () => {
    await forgetRecords(dataPath);
    const sent = packet(listed4, server4);
    judge.send(sent);
    expect(dataPath.counters().active.denyLists[abuse * 2 + 1]).toBe(BigInt(sent.length));
    expect(await waitForRecords(dataPath, 1)).toMatchObject([{ kind: recordKinds.deny, reason: 'DENY_LIST', sourcePort: port }]);
  });

  it.each([
    ['IPv4', client4, server4],
    ['IPv6', client6, server6],
  ])('cuts a live %s flow when its address is added, and lets new ones begin when it is removed', async (_, from, to) => {
    expect(judge.send(packet(from, to))).toEqual(allowed);
    expect(judge.send(packet(to, from, { flags: tcpFlag.ack })).reason).toBe('FLOW');
    await forgetRecords(dataPath);
    await change(from, true);
    expect(judge.send(packet(to, from, { flags: tcpFlag.ack }))).toEqual(denied);
    expect(await waitForRecords(dataPath, 1)).toMatchObject([
      { kind: recordKinds.rejudged, reason: 'DENY_LIST', sourcePort: port, packets: [1n, 1n] },
    ]);
    expect(judge.send(packet(from, to, { flags: tcpFlag.ack }))).toEqual(denied);
    expect(judge.send(packet(from, to))).toEqual(denied);
    expect(hits()).toEqual([3n, 0n]);
    await change(from, false);
    expect(judge.send(packet(from, to))).toEqual(allowed);
  });

  it('does not ask for packets of a live flow', async () => {
    judge.send(packet(client4, server4));
    const before = dataPath.counters().stats[judgedStat] ?? 0n;
    expect(judge.send(packet(client4, server4, { flags: tcpFlag.ack })).reason).toBe('FLOW');
    expect(dataPath.counters().stats[judgedStat]).toBe(before);
    port += 1;
    judge.send(packet(listed4, server4));
    expect(dataPath.counters().stats[judgedStat]).toBe(before + 1n);
  });

  it('begins to count anew with each policy', async () => {
    judge.send(packet(listed4, server4));
    await load();
    expect(hits()).toEqual([0n, 0n]);
    expect(dataPath.counters().retired?.denyLists[0]).toBe(1n);
  });
});

describe('in a flood', () => {
  beforeEach(() => {
    dataPath.setFlood(true);
  });

  it.each([
    ['IPv4', packet(listed4, server4)],
    ['IPv4 behind two VLAN tags', packet(listed4, server4, { tags: [0x88a8, 0x8100] })],
    ['IPv6', packet(listed6, server6)],
    ['a TCP header that is cut off', packet(listed4, server4).subarray(0, 40)],
    ['a TCP header that contradicts itself', frame4({ from: listed4, to: server4, protocol: 6, payload: tcp({ dataOffset: 1 }) })],
    ['a later fragment', frame4({ from: listed4, to: server4, protocol: 17, fragmentOffset: 9, payload: Buffer.alloc(8) })],
  ])('drops %s of a listed source before anything else is read, and records nothing', async (_, sent) => {
    await forgetRecords(dataPath);
    const before = dataPath.counters().stats[judgedStat] ?? 0n;
    expect(judge.send(sent)).toEqual(denied);
    expect(hits()).toEqual([1n, 0n]);
    expect(dataPath.counters().stats[judgedStat]).toBe(before + 1n);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(decodeRecords(dataPath.takeRecords(10).records)).toEqual([]);
  });

  it('drops listed prefixes too, and listed destinations where no flow is known', () => {
    expect([packet('198.18.1.70', server4), packet('2001:db8:1:0:ffff::1', server6), packet(client4, listed4)].map(judge.send)).toEqual([
      denied,
      denied,
      denied,
    ]);
    expect(hits()).toEqual([1n, 2n]);
  });

  it('leaves packets without a whole IP header, and what is not IP, to the parser', () => {
    expect(judge.send(packet(listed4, server4).subarray(0, 30)).reason).toBe('TRUNCATED');
    expect(judge.send(packet(listed6, server6).subarray(0, 50)).reason).toBe('TRUNCATED');
    expect(judge.send(packet(listed4, server4, { tags: [0x88a8, 0x8100, 0x8100] })).reason).toBe('TOO_MANY_TAGS');
  });

  it('keeps live flows of others, and is over when it is switched off', () => {
    expect(judge.send(packet(client4, server4))).toEqual(allowed);
    expect(judge.send(packet(server4, client4, { flags: tcpFlag.ack })).reason).toBe('FLOW');
    dataPath.setFlood(false);
    expect(judge.send(packet(client4, server4, { flags: tcpFlag.ack })).reason).toBe('FLOW');
    expect(judge.send(packet(listed4, server4).subarray(0, 40)).reason).toBe('TRUNCATED');
  });
});

describe('on a wire', () => {
  it.each([false, true])('every packet of a listed source is dropped and counted once (flood: %s)', async (isFlood) => {
    await dataPath.attach('v0');
    await load();
    dataPath.setFlood(isFlood);
    const dropped = (): bigint =>
      dataPath.counters().interfaces.find(({ name }) => name === 'v0')?.reasons[reasonNumber.DENY_LIST * 2] ?? 0n;
    const before = dropped();
    const judged = dataPath.counters().stats[judgedStat] ?? 0n;
    const sent = await generate(packet(listed4, server4), [
      '--count',
      '50000',
      '--rate',
      '100000',
      '--vary-offset',
      '34',
      '--flows',
      '256',
    ]);
    expect(dropped() - before).toBe(BigInt(sent));
    expect(hits()).toEqual([BigInt(sent), 0n]);
    expect((dataPath.counters().stats[judgedStat] ?? 0n) - judged).toBe(BigInt(sent));
    expect(dataPath.counters().active.values.every((value) => value === 0n)).toBe(true);
  });
});

describe('a trace', () => {
  const trace = async (sent: Buffer): Promise<object> => {
    const { trace: row, more, verdict } = await dataPath.trace(sent, 'deny0');
    return { verdict, reason: nameOfReason(row.readUInt8(8)), list: more.readUInt32LE(64) };
  };

  it.each([false, true])('names the list and counts nothing (flood: %s)', async (isFlood) => {
    dataPath.setFlood(isFlood);
    const before = dataPath.counters();
    expect(await trace(packet(listed4, server4))).toEqual({ verdict: 'drop', reason: 'DENY_LIST', list: abuse + 1 });
    expect(await trace(packet('2001:db8:1:0:ffff::1', server6))).toEqual({ verdict: 'drop', reason: 'DENY_LIST', list: range + 1 });
    expect(await trace(packet(client4, server4))).toEqual({ verdict: 'pass', reason: 'POLICY_ALLOW', list: 0 });
    const cut = isFlood ? { reason: 'DENY_LIST', list: abuse + 1 } : { reason: 'TRUNCATED', list: 0 };
    expect(await trace(packet(listed4, server4).subarray(0, 40))).toEqual({ verdict: 'drop', ...cut });
    expect(dataPath.counters()).toEqual(before);
  });
});
