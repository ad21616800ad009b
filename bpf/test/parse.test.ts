import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import { addInterface, judgeOn, openDataPath, removeInterface } from '../../native/test/support/data-path.ts';
import {
  authentication,
  ethernet,
  extension,
  fragmentHeader,
  frame4,
  frame6,
  icmp,
  ipv4,
  tcp,
  tcpFlag,
  udp,
} from '../../native/test/support/packets.ts';
import { client4, client6, emptyPolicy, server4, server6, webPolicy } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;

beforeAll(async () => {
  addInterface('parse0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('parse0');
  judge = judgeOn(dataPath, opened.pinPath, 'parse0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('parse0');
});

const pass = (reason: string): object => ({ verdict: 'pass', reason });
const drop = (reason: string): object => ({ verdict: 'drop', reason, mapping: undefined });

const web4 = { from: client4, to: server4, protocol: 6, payload: tcp({}) };
const web6 = { from: client6, to: server6, next: 6, payload: tcp({}) };
const garbage = ethernet(0x0800, Buffer.from([0x65, 0, 0, 1]));

describe('without a policy', () => {
  it('passes even what cannot be parsed, as NO_POLICY', () => {
    expect(judge.send(garbage)).toMatchObject(pass('NO_POLICY'));
  });

  it('passes everything when the loaded policy is empty, and keeps its flows', async () => {
    await dataPath.swap(emptyPolicy(), 1);
    expect([judge.send(garbage), judge.send(frame4(web4)), judge.send(frame4(web4))]).toMatchObject([
      pass('NO_POLICY'),
      pass('DEFAULT_ALLOW'),
      pass('FLOW'),
    ]);
  });
});

describe('with a policy that denies by default', () => {
  beforeAll(async () => {
    await dataPath.swap(webPolicy(), 2);
  });

  it('always passes ARP, tagged or not', () => {
    const arp = Buffer.alloc(28, 1);
    expect([judge.send(ethernet(0x0806, arp)), judge.send(ethernet(0x0806, arp, [0x8100]))]).toMatchObject([pass('ARP'), pass('ARP')]);
  });

  it('passes other Ethernet protocols as NOT_IP', () => {
    expect(judge.send(ethernet(0x88cc, Buffer.alloc(20)))).toMatchObject(pass('NOT_IP'));
  });

  it.each([133, 134, 135, 136, 137])('always passes neighbour discovery type %i with hop limit 255', (type) => {
    expect(judge.send(frame6({ from: 'fe80::1', to: 'ff02::1', next: 58, payload: icmp(type), hopLimit: 255 }))).toMatchObject(
      pass('NEIGHBOR_DISCOVERY'),
    );
  });

  it('judges a neighbour solicitation that a router has forwarded', () => {
    expect(judge.send(frame6({ from: 'fe80::1', to: 'ff02::1', next: 58, payload: icmp(135), hopLimit: 254 }))).toMatchObject({
      verdict: 'drop',
      reason: 'DEFAULT_DENY',
    });
  });

  it('finds the transport header behind one and two VLAN tags', () => {
    const tagged = [[0x8100], [0x88a8, 0x8100], [0x8100, 0x8100]].map((tags, index) =>
      judge.send(frame4({ ...web4, payload: tcp({ from: 1000 + index }) }, tags)),
    );
    expect(tagged).toMatchObject([pass('POLICY_ALLOW'), pass('POLICY_ALLOW'), pass('POLICY_ALLOW')]);
  });

  it('drops three VLAN tags', () => {
    expect(judge.send(frame4(web4, [0x88a8, 0x8100, 0x8100]))).toMatchObject(drop('TOO_MANY_TAGS'));
  });

  it('drops a packet that ends inside a VLAN tag', () => {
    expect(judge.send(ethernet(0x8100, Buffer.from([0, 10])))).toMatchObject(drop('TRUNCATED'));
  });

  it.each([4, 40])('reads ports behind %i bytes of IPv4 options', (options) => {
    expect(judge.send(frame4({ ...web4, options, payload: tcp({ from: 2000 + options }) }))).toMatchObject(pass('POLICY_ALLOW'));
  });

  it('does not take Ethernet padding for payload', () => {
    const short = ipv4({ ...web4, payload: tcp({}).subarray(0, 12) });
    expect(judge.send(ethernet(0x0800, Buffer.concat([short, Buffer.alloc(14)])))).toMatchObject(drop('TRUNCATED'));
  });

  it.each([
    ['an IPv4 header shorter than 20 bytes', frame4({ ...web4, ihl: 4 })],
    ['an IPv4 version that is not 4', frame4({ ...web4, version: 6 })],
    ['an IPv4 length below its header', frame4({ ...web4, totalLength: 19 })],
    ['an IPv6 version that is not 6', frame6({ ...web6, version: 4 })],
    ['a TCP header shorter than 20 bytes', frame4({ ...web4, payload: tcp({ dataOffset: 4 }) })],
  ])('drops %s as MALFORMED', (_, packet) => {
    expect(judge.send(packet)).toMatchObject(drop('MALFORMED'));
  });

  it.each([
    ['an IPv4 header cut short', ethernet(0x0800, ipv4(web4).subarray(0, 16))],
    ['IPv4 options past the end', ethernet(0x0800, ipv4({ ...web4, ihl: 15 }).subarray(0, 40))],
    ['an IPv4 length past the end', frame4({ ...web4, totalLength: 500 })],
    ['an IPv6 header cut short', ethernet(0x86dd, Buffer.from([0x60, 0, 0, 0, 0, 20, 6, 64]))],
    ['an IPv6 length past the end', frame6({ ...web6, payloadLength: 900 })],
    ['a TCP header cut short', frame4({ ...web4, payload: tcp({}).subarray(0, 19) })],
    ['TCP options past the end', frame4({ ...web4, payload: tcp({ dataOffset: 15 }) })],
    ['a UDP header cut short', frame4({ ...web4, protocol: 17, payload: udp({}).subarray(0, 7) })],
    ['an ICMP echo cut short', frame4({ ...web4, protocol: 1, payload: icmp(8).subarray(0, 6) })],
    ['an IPv6 extension header past the end', frame6({ ...web6, next: 0, payload: Buffer.from([6, 200, 0, 0, 0, 0, 0, 0]) })],
    ['an IPv6 extension header cut short', frame6({ ...web6, next: 60, payload: Buffer.from([6, 0, 0, 0]) })],
  ])('drops %s as TRUNCATED', (_, packet) => {
    expect(judge.send(packet)).toMatchObject(drop('TRUNCATED'));
  });

  it('finds TCP behind every kind of IPv6 extension header', () => {
    const chain = (from: number): Buffer =>
      extension(43, extension(60, extension(51, authentication(44, fragmentHeader(6, tcp({ from }), { offset: 0, more: false })), 2), 3));
    expect(judge.send(frame6({ ...web6, next: 0, payload: chain(3001) }))).toMatchObject({ ...pass('POLICY_ALLOW'), mapping: 1 });
  });

  it('follows eight extension headers and no more', () => {
    const chain = (count: number, from: number): Buffer => {
      let payload = tcp({ from });
      for (let index = 0; index < count; index += 1) payload = extension(index === 0 ? 6 : 60, payload, 2);
      return payload;
    };
    const outcomes = [
      judge.send(frame6({ ...web6, next: 60, payload: chain(8, 3002) })),
      judge.send(frame6({ ...web6, next: 60, payload: chain(9, 3003) })),
    ];
    expect(outcomes).toMatchObject([pass('POLICY_ALLOW'), drop('TOO_MANY_HEADERS')]);
  });

  it('judges protocols without ports as their own class', () => {
    expect([50, 47, 132].map((protocol) => judge.send(frame4({ ...web4, protocol, payload: Buffer.alloc(16) })))).toMatchObject([
      { reason: 'DEFAULT_DENY' },
      { reason: 'DEFAULT_DENY' },
      { reason: 'DEFAULT_DENY' },
    ]);
  });

  it('survives 3,000 random packets and counts each once', () => {
    let seed = 0x2f6e2b1;
    console.log(`seed ${String(seed)}`);
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed >>> 8;
    };
    const before = total(dataPath);
    const templates = [
      frame4(web4),
      frame6(web6),
      frame6({ ...web6, next: 0, payload: extension(60, extension(6, tcp({ flags: tcpFlag.ack }))) }),
      frame4(web4, [0x8100]),
    ];
    const packets = Array.from({ length: 3000 }, () => {
      const packet = Buffer.from(templates[random() % templates.length] ?? Buffer.alloc(14));
      for (let flips = 0; flips < 4; flips += 1) packet[12 + (random() % (packet.length - 12))] = random() & 0xff;
      return packet.subarray(0, 14 + (random() % (packet.length - 13)));
    });
    judge.sendAll(packets);
    expect(total(dataPath) - before).toBe(3000n);
  });
});

const total = (path: DataPath): bigint =>
  [...(path.counters().interfaces[0]?.reasons ?? [])].reduce((sum, value, index) => (index % 2 === 0 ? sum + value : sum), 0n);
