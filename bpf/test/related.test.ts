import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import { nameOfReason, openDataPath } from '../../native/test/support/data-path.ts';
import {
  address,
  ethernet,
  extension,
  fragmentHeader,
  frame4,
  frame6,
  icmp,
  ipv4,
  ipv6,
  tcp,
  tcpFlag,
  udp,
} from '../../native/test/support/packets.ts';
import type { Kind } from './support/balanced.ts';
import { addServers, balancedPolicy, client, clientMac, own, removeServers, server, serverMac, virtual } from './support/balanced.ts';
import { changed, ipOffset, transportOf, withChecksums } from './support/checksums.ts';
import type { Replay } from './support/replay.ts';
import { indexOf, openReplay } from './support/replay.ts';

let dataPath: DataPath;
let replay: Replay;
let port = 1024;
/** Of the way to the servers. */
const mtu = 1300;

beforeAll(async () => {
  addServers();
  for (const name of ['nat0', 'nat1']) execFileSync('ip', ['link', 'set', name, 'mtu', String(mtu)]);
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('v0');
  replay = openReplay(opened.pinPath, indexOf('v0'));
  await dataPath.setInterfaceAddresses([
    { index: indexOf('nat0'), address4: Buffer.from(address(own[4])), address6: Buffer.from(address(own[6])) },
  ]);
  await dataPath.setTxPorts(new Uint32Array([indexOf('nat0'), indexOf('v0')]));
  await dataPath.swap(balancedPolicy(), 1);
});

afterAll(async () => {
  replay[Symbol.dispose]();
  await dataPath.remove();
  removeServers();
});

type Family = 4 | 6;
const router = { 4: '198.18.66.6', 6: '2001:db8:66::6' } as const;

interface Flow {
  readonly protocol?: 'tcp' | 'udp';
  readonly kind?: Kind;
  readonly payload?: number;
  readonly flags?: number;
  readonly fromPort?: number;
}

const first = (
  family: Family,
  { protocol = 'tcp', kind = 'dnat', payload = 20, flags = tcpFlag.syn, fromPort = (port += 1) }: Flow = {},
): Buffer => {
  const body = protocol === 'tcp' ? tcp({ from: fromPort, to: 80, flags, payload }) : udp({ from: fromPort, to: 80, payload });
  const number = protocol === 'tcp' ? 6 : 17;
  const ends = { from: client[family], to: virtual(family, kind) };
  return withChecksums(
    family === 4 ? frame4({ ...ends, protocol: number, payload: body }) : frame6({ ...ends, next: number, payload: body }),
  );
};

/** An ICMP error: its type is 3 or 1, with `quote` bytes of the packet it is about. */
const error = (family: Family, { from, to }: { readonly from: string; readonly to: string }, quote: Buffer): Buffer => {
  const message = Buffer.concat([Buffer.from([family === 4 ? 3 : 1, 1, 0, 0, 0, 0, 5, 0x14]), quote]);
  const payload = family === 4 ? ipv4({ from, to, protocol: 1, payload: message }) : ipv6({ from, to, next: 58, payload: message });
  return withChecksums(ethernet(family === 4 ? 0x0800 : 0x86dd, payload));
};

const ipOf = (frame: Buffer): Buffer => frame.subarray(ipOffset(frame));

const addressIn = (frame: Buffer, side: 'source' | 'destination'): Buffer => {
  const ip = ipOffset(frame);
  if ((frame[ip] ?? 0) >> 4 === 4) return frame.subarray(ip + (side === 'source' ? 12 : 16)).subarray(0, 4);
  return frame.subarray(ip + (side === 'source' ? 8 : 24)).subarray(0, 16);
};

const textOf = (bytes: Buffer): string =>
  bytes.length === 4
    ? [...bytes].join('.')
    : (bytes.toString('hex').match(/..../g) ?? []).map((group) => group.replace(/^0+(?=.)/, '')).join(':');

const reasonOf = async (frame: Buffer): Promise<string | undefined> => nameOfReason((await dataPath.trace(frame, 'v0')).trace.readUInt8(8));

const v0Mac = (): readonly number[] =>
  execFileSync('cat', ['/sys/class/net/v0/address'], { encoding: 'utf8' })
    .trim()
    .split(':')
    .map((part) => Number.parseInt(part, 16));

describe.each([4, 6] as const)('an ICMP error over IPv%d', (family) => {
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const kind of ['dnat', 'full'] as const) {
      it.each([
        ['all of it', 1000],
        ['eight bytes of it', 8],
      ])(`about a ${protocol} packet of ${kind} that was sent on reaches its sender (quoted: %s)`, async (_, l4Bytes) => {
        const before = first(family, { protocol, kind });
        const sent = replay.one(before);
        const headerBytes = family === 4 ? 20 : 40;
        const quoted = ipOf(sent.bytes).subarray(0, headerBytes + l4Bytes);
        const message = error(family, { from: router[family], to: textOf(addressIn(sent.bytes, 'source')) }, quoted);
        // What the client sent, with the hops it has left.
        const original = changed(sent.bytes, {
          from: address(client[family]),
          fromPort: before.readUInt16BE(transportOf(before)?.offset ?? 0),
          to: address(virtual(family, kind)),
          toPort: 80,
        });
        const expected = error(family, { from: router[family], to: client[family] }, ipOf(original).subarray(0, headerBytes + l4Bytes));
        expect(await reasonOf(message)).toBe('FLOW_RELATED');
        expect(replay.one(message)).toMatchObject({
          action: 'tx',
          bytes: changed(expected, { macs: { to: clientMac, from: v0Mac() } }),
        });
      });
    }
  }

  it('from the server itself comes from the virtual address', () => {
    const sent = replay.one(first(family, { protocol: 'udp' }));
    const complaint = error(family, { from: textOf(addressIn(sent.bytes, 'destination')), to: client[family] }, ipOf(sent.bytes));
    expect(textOf(addressIn(replay.one(complaint).bytes, 'source'))).toBe(textOf(Buffer.from(address(virtual(family, 'dnat')))));
  });

  it('about an answer reaches the server that sent it', () => {
    const fromPort = (port += 1);
    const sent = replay.one(first(family, { kind: 'full', fromPort }));
    const chosen = textOf(addressIn(sent.bytes, 'destination'));
    const natPort = sent.bytes.readUInt16BE(transportOf(sent.bytes)?.offset ?? 0);
    const body = tcp({ from: 8080, to: natPort, flags: tcpFlag.syn | tcpFlag.ack });
    const answer = withChecksums(
      family === 4
        ? frame4({ from: chosen, to: own[4], protocol: 6, payload: body })
        : frame6({ from: chosen, to: own[6], next: 6, payload: body }),
    );
    const delivered = replay.one(answer).bytes;
    const message = error(family, { from: router[family], to: virtual(family, 'full') }, ipOf(delivered));
    const original = changed(delivered, { from: address(chosen), fromPort: 8080, to: address(own[family]), toPort: natPort });
    const expected = error(family, { from: router[family], to: chosen }, ipOf(original));
    const index = [0, 1, 2].find((each) => textOf(Buffer.from(address(server(family, each)))) === chosen) ?? 0;
    const sentOn = replay.one(message);
    expect(sentOn.action).toBe('redirect');
    expect(sentOn.bytes.subarray(12)).toEqual(changed(expected, { macs: { to: serverMac(index), from: [0, 0, 0, 0, 0, 0] } }).subarray(12));
  });

  it('about a plain flow passes as it is, and a made-up one is judged', async () => {
    const stranger = family === 4 ? '198.18.1.99' : '2001:db8:1::99';
    const plain = first(family, { kind: 'marked', flags: tcpFlag.ack });
    replay.one(plain);
    const message = error(family, { from: router[family], to: client[family] }, ipOf(plain));
    expect(replay.one(message)).toMatchObject({ action: 'pass', bytes: message });
    expect(await reasonOf(message)).toBe('FLOW_RELATED');
    expect(await reasonOf(error(family, { from: router[family], to: stranger }, ipOf(plain)))).toBe('DEFAULT_DENY');
    expect(await reasonOf(error(family, { from: router[family], to: client[family] }, ipOf(first(family))))).toBe('DEFAULT_DENY');
    expect(await reasonOf(error(family, { from: router[family], to: client[family] }, ipOf(plain).subarray(0, 26)))).toBe('DEFAULT_DENY');
  });

  it('counts in no flow', async () => {
    const before = (await dataPath.flows(100_000)).rows;
    const plain = first(family, { kind: 'marked', flags: tcpFlag.ack });
    const count = before.length;
    expect(replay.one(error(family, { from: router[family], to: client[family] }, ipOf(plain))).action).toBe('drop');
    expect((await dataPath.flows(100_000)).rows.length).toBe(count);
  });
});

describe('an echo error through source NAT', () => {
  it.each([4, 6] as const)('finds the identifier of the client over IPv%d', (family) => {
    const request = family === 4 ? icmp(8, 99) : icmp(128, 99);
    const ends = { from: client[family], to: virtual(family, 'masquerade') };
    const before = withChecksums(
      family === 4 ? frame4({ ...ends, protocol: 1, payload: request }) : frame6({ ...ends, next: 58, payload: request }),
    );
    const sent = replay.one(before);
    const message = error(family, { from: router[family], to: own[family] }, ipOf(sent.bytes));
    const original = changed(sent.bytes, { from: address(client[family]), identifier: 99 });
    const expected = error(family, { from: router[family], to: client[family] }, ipOf(original));
    expect(replay.one(message)).toMatchObject({ action: 'tx', bytes: changed(expected, { macs: { to: clientMac, from: v0Mac() } }) });
  });
});

describe('a packet larger than the way out takes', () => {
  it('is answered over IPv4 when it may not be cut', () => {
    const fromPort = (port += 1);
    const build = (flags: number, payload: number): Buffer => {
      const frame = first(4, { fromPort, flags, payload });
      frame[ipOffset(frame) + 6] = 0x40;
      return withChecksums(frame);
    };
    replay.one(build(tcpFlag.syn, 0));
    const large = build(tcpFlag.ack, mtu - 39);
    const message = Buffer.concat([Buffer.from([3, 4, 0, 0, 0, 0, mtu >> 8, mtu & 0xff]), ipOf(large).subarray(0, 548)]);
    const answer = frame4({ from: virtual(4, 'dnat'), to: client[4], protocol: 1, payload: message, identification: 0 });
    answer[ipOffset(answer) + 6] = 0x40;
    answer.set(large.subarray(6, 12), 0);
    answer.set(large.subarray(0, 6), 6);
    for (let time = 0; time < 2; time += 1) {
      const { action, bytes } = replay.one(large);
      expect({ action, bytes }).toEqual({ action: 'tx', bytes: withChecksums(answer) });
    }
    expect(replay.one(build(tcpFlag.ack, mtu - 40)).action).toBe('redirect');
  });

  it('is left to the kernel when it is tagged for another network', () => {
    const ends = { from: client[4], to: virtual(4, 'dnat') };
    const frame = frame4({ ...ends, protocol: 6, payload: tcp({ from: 7001, to: 80, payload: mtu }) }, [0x8100]);
    frame[ipOffset(frame) + 6] = 0x40;
    const before = withChecksums(frame);
    const sent = replay.one(before);
    expect(sent).toMatchObject({ action: 'pass', bytes: changed(before, { to: [...addressIn(sent.bytes, 'destination')], toPort: 8080 }) });
  });

  it('is answered over IPv6, with as much of it as fits 1280 bytes', async () => {
    const fromPort = (port += 1);
    replay.one(first(6, { fromPort }));
    const large = first(6, { fromPort, flags: tcpFlag.ack, payload: mtu });
    const { action, bytes } = replay.one(large);
    const message = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, mtu >> 8, mtu & 0xff]), ipOf(large).subarray(0, 1232)]);
    const answer = frame6({ from: virtual(6, 'dnat'), to: client[6], next: 58, payload: message });
    answer.set(large.subarray(6, 12), 0);
    answer.set(large.subarray(0, 6), 6);
    expect({ action, bytes }).toEqual({ action: 'tx', bytes: withChecksums(answer) });
    expect([await reasonOf(large), dataPath.counters().stats[1]]).toEqual(['TOO_BIG', expect.any(BigInt)]);
    expect(dataPath.counters().stats[1]).toBeGreaterThan(0n);
  });

  it('goes to the kernel, rewritten, when it may be cut', () => {
    const fromPort = (port += 1);
    const sent = replay.one(first(4, { fromPort }));
    const large = first(4, { fromPort, flags: tcpFlag.ack, payload: mtu });
    expect(replay.one(large)).toMatchObject({
      action: 'pass',
      bytes: changed(large, { to: [...addressIn(sent.bytes, 'destination')], toPort: 8080 }),
    });
  });
});

describe.each([4, 6] as const)('fragments of a translated datagram over IPv%d', (family) => {
  /** The datagram of `bytes`, cut every 512 bytes. */
  const cut = (whole: Buffer, identification: number): readonly Buffer[] => {
    const body = whole.subarray(14 + (family === 4 ? 20 : 40));
    const ends = { from: client[family], to: virtual(family, 'full') };
    return Array.from({ length: Math.ceil(body.length / 512) }, (_, index) => {
      const piece = body.subarray(index * 512, (index + 1) * 512);
      const more = (index + 1) * 512 < body.length;
      if (family === 6)
        return frame6({ ...ends, next: 44, payload: fragmentHeader(17, piece, { offset: index * 64, more, identification }) });
      const frame = frame4({ ...ends, protocol: 17, payload: piece, moreFragments: more, fragmentOffset: index * 64, identification });
      const sum = withChecksums(frame);
      // The sum over the datagram is in it already: only the header's is needed.
      frame.set(sum.subarray(24, 26), 24);
      return frame;
    });
  };

  it('leave as one, whole again at the other end', () => {
    const fromPort = (port += 1);
    const whole = first(family, { protocol: 'udp', kind: 'full', payload: 1400, fromPort });
    const pieces = cut(whole, fromPort);
    const sent = replay.run(pieces);
    expect(sent.map(({ action }) => action)).toEqual(pieces.map(() => 'redirect'));
    const [head] = sent;
    if (head === undefined) throw new Error('nothing was sent');
    const skip = 14 + (family === 4 ? 20 : 48);
    const body = Buffer.concat(sent.map(({ bytes }) => bytes.subarray(skip)));
    const ends = { from: textOf(addressIn(head.bytes, 'source')), to: textOf(addressIn(head.bytes, 'destination')) };
    expect(ends.from).toBe(textOf(Buffer.from(address(own[family]))));
    for (const { bytes } of sent) expect(addressIn(bytes, 'destination')).toEqual(addressIn(head.bytes, 'destination'));
    const joined = family === 4 ? frame4({ ...ends, protocol: 17, payload: body }) : frame6({ ...ends, next: 17, payload: body });
    expect(body).toEqual(withChecksums(joined).subarray(14 + (family === 4 ? 20 : 40)));
    for (const { bytes } of sent.slice(family === 4 ? 0 : 3)) expect(bytes.subarray(14, 34)).toEqual(withHeaderSum(bytes).subarray(14, 34));
  });

  it('are dropped where the first one was not seen', () => {
    const [, later] = cut(first(family, { protocol: 'udp', kind: 'full', payload: 1400 }), 64_000);
    expect(replay.one(later ?? Buffer.alloc(0)).action).toBe('drop');
  });
});

/** The frame with its IPv4 header's checksum computed anew, and nothing else. */
const withHeaderSum = (frame: Buffer): Buffer => {
  const copy = Buffer.from(frame);
  copy.set(withChecksums(frame).subarray(24, 26), 24);
  return copy;
};

describe('a first fragment behind extension headers', () => {
  it('is translated where its ports are', () => {
    const ends = { from: client[6], to: virtual(6, 'dnat') };
    const body = udp({ from: 7000, to: 80, payload: 64 });
    const inner = fragmentHeader(17, body, { offset: 0, more: true, identification: 5 });
    const frame = frame6({ ...ends, next: 60, payload: extension(44, inner, 2) });
    const sent = replay.one(frame);
    expect([sent.action, sent.bytes.readUInt16BE(14 + 40 + 16 + 8 + 2)]).toEqual(['redirect', 8080]);
  });
});
