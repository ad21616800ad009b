import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { FlowRecord } from '../../native/test/support/data-path.ts';
import { flowsOf, forgetRecords, nameOfReason, openDataPath, recordKinds, waitForRecords } from '../../native/test/support/data-path.ts';
import { address, extension, frame4, frame6, icmp, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import type { Kind } from './support/balanced.ts';
import {
  addServers,
  balancedPolicy,
  client,
  clientMac,
  fixed,
  own,
  removeServers,
  server,
  serverMac,
  virtual,
} from './support/balanced.ts';
import type { Changes } from './support/checksums.ts';
import { changed, ipOffset, transportOf, withChecksums } from './support/checksums.ts';
import type { Replay } from './support/replay.ts';
import { indexOf, openReplay } from './support/replay.ts';

let dataPath: DataPath;
let replay: Replay;
let port = 1024;

const macOf = (name: string): readonly number[] =>
  readFileSync(`/sys/class/net/${name}/address`, 'utf8')
    .trim()
    .split(':')
    .map((part) => Number.parseInt(part, 16));

beforeAll(async () => {
  addServers();
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

type Protocol = 'tcp' | 'udp';
type Family = 4 | 6;

interface Ends {
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
}

const packet = (family: Family, protocol: Protocol, ends: Ends & { readonly flags?: number }): Buffer => {
  const { from, to, fromPort, toPort, flags = tcpFlag.syn } = ends;
  const payload =
    protocol === 'tcp' ? tcp({ from: fromPort, to: toPort, flags, payload: 11 }) : udp({ from: fromPort, to: toPort, payload: 13 });
  const number = protocol === 'tcp' ? 6 : 17;
  return withChecksums(
    family === 4 ? frame4({ from, to, protocol: number, payload }) : frame6({ from, to, next: number, payload, hopLimit: 64 }),
  );
};

/** Which of the servers the packet was sent to. */
const serverIn = (frame: Buffer, family: Family): number => {
  const at = ipOffset(frame) + (family === 4 ? 16 : 24);
  const found = frame.subarray(at, at + (family === 4 ? 4 : 16)).toString('hex');
  return [0, 1, 2].findIndex((index) => Buffer.from(address(server(family, index))).toString('hex') === found);
};

const sourcePortIn = (frame: Buffer): number => frame.readUInt16BE(transportOf(frame)?.offset ?? 0);

const out = (index: number): NonNullable<Changes['macs']> => ({ to: serverMac(index), from: macOf('nat0') });
const back = (): NonNullable<Changes['macs']> => ({ to: clientMac, from: macOf('v0') });

const hexOf = (text: string): string => Buffer.from(address(text)).toString('hex');

const newEnds = (family: Family, kind: Kind): Ends => {
  port += 1;
  return { from: client[family], to: virtual(family, kind), fromPort: port, toPort: 80 };
};

for (const family of [4, 6] as const) {
  for (const protocol of ['tcp', 'udp'] as const) {
    describe(`${protocol} over IPv${String(family)}`, () => {
      it('goes to a backend with its port, and its answers come from the virtual address', () => {
        const ends = newEnds(family, 'dnat');
        const first = packet(family, protocol, ends);
        const sent = replay.one(first);
        const chosen = serverIn(sent.bytes, family);
        const forward: Changes = { to: address(server(family, chosen)), toPort: 8080, macs: out(chosen) };
        expect(sent).toMatchObject({ action: 'redirect', bytes: changed(first, forward) });

        const answer = { from: server(family, chosen), to: ends.from, fromPort: 8080, toPort: ends.fromPort };
        const reverse: Changes = { from: address(ends.to), fromPort: 80, macs: back() };
        // The first goes through the judge, which learns the way; the later ones do not.
        for (const flags of [tcpFlag.syn | tcpFlag.ack, tcpFlag.ack, tcpFlag.ack, tcpFlag.ack]) {
          const reply = packet(family, protocol, { ...answer, flags });
          expect(replay.one(reply)).toMatchObject({ action: 'tx', bytes: changed(reply, reverse) });
          const next = packet(family, protocol, { ...ends, flags: tcpFlag.ack });
          expect(replay.one(next)).toMatchObject({ action: 'redirect', bytes: changed(next, forward) });
        }
      });

      it('hides the client behind the way out in full NAT', () => {
        const ends = newEnds(family, 'full');
        const first = packet(family, protocol, ends);
        const sent = replay.one(first);
        const chosen = serverIn(sent.bytes, family);
        const fromPort = sourcePortIn(sent.bytes);
        expect(fromPort).toBeGreaterThanOrEqual(32768);
        expect(fromPort).toBeLessThan(61000);
        const forward: Changes = {
          from: address(own[family]),
          fromPort,
          to: address(server(family, chosen)),
          toPort: 8080,
          macs: out(chosen),
        };
        expect(sent).toMatchObject({ action: 'redirect', bytes: changed(first, forward) });
        const reverse: Changes = {
          from: address(ends.to),
          fromPort: 80,
          to: address(ends.from),
          toPort: ends.fromPort,
          macs: back(),
        };
        const answer = { from: server(family, chosen), to: own[family], fromPort: 8080, toPort: fromPort };
        for (const flags of [tcpFlag.syn | tcpFlag.ack, tcpFlag.ack, tcpFlag.ack]) {
          const reply = packet(family, protocol, { ...answer, flags });
          expect(replay.one(reply)).toMatchObject({ action: 'tx', bytes: changed(reply, reverse) });
          const next = packet(family, protocol, { ...ends, flags: tcpFlag.ack });
          expect(replay.one(next)).toMatchObject({ action: 'redirect', bytes: changed(next, forward) });
        }
      });

      it('changes nothing but the MAC addresses for direct server return', () => {
        const ends = newEnds(family, 'direct');
        for (const flags of [tcpFlag.syn, tcpFlag.ack, tcpFlag.ack]) {
          const each = packet(family, protocol, { ...ends, flags });
          const sent = replay.one(each);
          const chosen = (sent.bytes[5] ?? 0) - 10;
          expect([0, 1, 2]).toContain(chosen);
          expect(sent).toMatchObject({ action: 'redirect', bytes: changed(each, { macs: out(chosen), keepsHops: true }) });
        }
      });

      it('is masqueraded, and translated back', () => {
        const ends = newEnds(family, 'masquerade');
        const first = packet(family, protocol, ends);
        const sent = replay.one(first);
        const fromPort = sourcePortIn(sent.bytes);
        const forward: Changes = { from: address(own[family]), fromPort, macs: out(0) };
        expect(sent).toMatchObject({ action: 'redirect', bytes: changed(first, forward) });
        const answer = { from: ends.to, to: own[family], fromPort: 80, toPort: fromPort };
        for (const flags of [tcpFlag.syn | tcpFlag.ack, tcpFlag.ack, tcpFlag.ack]) {
          const reply = packet(family, protocol, { ...answer, flags });
          expect(replay.one(reply)).toMatchObject({
            action: 'tx',
            bytes: changed(reply, { to: address(ends.from), toPort: ends.fromPort, macs: back() }),
          });
        }
      });

      it('appears as the address that its mapping names', () => {
        const ends = newEnds(family, 'fixed');
        const first = packet(family, protocol, ends);
        const sent = replay.one(first);
        const fromPort = sourcePortIn(sent.bytes);
        expect(sent).toMatchObject({ action: 'pass', bytes: changed(first, { from: address(fixed[family]), fromPort }) });
        const reply = packet(family, protocol, { from: ends.to, to: fixed[family], fromPort: 80, toPort: fromPort, flags: tcpFlag.ack });
        expect(replay.one(reply)).toMatchObject({
          action: 'tx',
          bytes: changed(reply, { to: address(ends.from), toPort: ends.fromPort, macs: back() }),
        });
      });

      it('is marked in both directions', () => {
        const ends = newEnds(family, 'marked');
        const reply = { from: ends.to, to: ends.from, fromPort: ends.toPort, toPort: ends.fromPort };
        for (const [each, flags] of [
          [ends, tcpFlag.syn],
          [reply, tcpFlag.syn | tcpFlag.ack],
          [ends, tcpFlag.ack],
          [reply, tcpFlag.ack],
        ] as const) {
          const plain = packet(family, protocol, { ...each, flags });
          plain[ipOffset(plain) + 1] = (plain[ipOffset(plain) + 1] ?? 0) | (family === 4 ? 3 : 0x35);
          const before = withChecksums(plain);
          expect(replay.one(before)).toMatchObject({ action: 'pass', bytes: changed(before, { dscp: 46 }) });
        }
      });
    });
  }
}

describe('what a packet brings along', () => {
  it('stays: IPv4 options, IPv6 extension headers, VLAN tags, no UDP checksum', () => {
    const options = withChecksums(
      frame4({ from: client[4], to: virtual(4, 'dnat'), protocol: 17, options: 12, payload: udp({ from: 700, to: 80 }) }),
    );
    const extended = withChecksums(
      frame6({ from: client[6], to: virtual(6, 'dnat'), next: 60, payload: extension(6, tcp({ from: 701, to: 80 }), 3) }),
    );
    const tagged = withChecksums(
      frame4({ from: client[4], to: virtual(4, 'dnat'), protocol: 6, payload: tcp({ from: 702, to: 80 }) }, [0x88a8, 0x8100]),
    );
    const plain = withChecksums(frame4({ from: client[4], to: virtual(4, 'dnat'), protocol: 17, payload: udp({ from: 703, to: 80 }) }), {
      plainUdp: true,
    });
    for (const [each, family, isRouted] of [
      [options, 4, true],
      [extended, 6, true],
      [tagged, 4, false],
      [plain, 4, true],
    ] as const) {
      // Three times: the judge, then the packet's flow alone.
      for (let time = 0; time < 3; time += 1) {
        const sent = replay.one(each);
        const chosen = serverIn(sent.bytes, family);
        const changes = { to: address(server(family, chosen)), toPort: 8080, plainUdp: each === plain };
        expect(sent).toMatchObject({
          action: isRouted ? 'redirect' : 'pass',
          bytes: changed(each, isRouted ? { ...changes, macs: out(chosen) } : changes),
        });
      }
    }
  });

  it('goes to the kernel when its last hop is here', () => {
    const expiring = packet(4, 'udp', newEnds(4, 'dnat'));
    expiring[ipOffset(expiring) + 8] = 1;
    const before = withChecksums(expiring);
    const sent = replay.one(before);
    expect(sent).toMatchObject({
      action: 'pass',
      bytes: changed(before, { to: address(server(4, serverIn(sent.bytes, 4))), toPort: 8080 }),
    });
  });

  it('has a checksum right for 2000 random payloads', () => {
    let seed = 0x5eed_0003;
    console.log(`seed ${String(seed)}`);
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (seed >>> 8) % limit;
    };
    const packets = Array.from({ length: 2000 }, () => {
      const family = random(2) === 0 ? 4 : 6;
      const each = packet(family, random(2) === 0 ? 'tcp' : 'udp', { ...newEnds(family, 'dnat'), toPort: random(65536) });
      for (let i = 1; i <= 8; i += 1) each[each.length - i] = random(256);
      return withChecksums(each);
    });
    const sent = replay.run(packets);
    const wrong = sent.filter(({ action, bytes }, index) => {
      const before = packets[index] ?? Buffer.alloc(0);
      const family = before.readUInt16BE(12) === 0x0800 ? 4 : 6;
      const chosen = serverIn(bytes, family);
      const after = changed(before, { to: address(server(family, chosen)), toPort: 8080, macs: out(chosen) });
      return action !== 'redirect' || !after.equals(bytes);
    });
    expect(wrong).toEqual([]);
  });
});

describe('a ping through source NAT', () => {
  it.each([4, 6] as const)('gets an identifier of its own over IPv%d', (family) => {
    const request = family === 4 ? icmp(8, 77) : icmp(128, 77);
    const before = withChecksums(
      family === 4
        ? frame4({ from: client[4], to: virtual(4, 'fixed'), protocol: 1, payload: request })
        : frame6({ from: client[6], to: virtual(6, 'fixed'), next: 58, payload: request }),
    );
    const sent = replay.one(before);
    const identifier = sent.bytes.readUInt16BE((transportOf(sent.bytes)?.offset ?? 0) + 4);
    expect(identifier).toBeGreaterThanOrEqual(32768);
    expect(sent).toMatchObject({ action: 'pass', bytes: changed(before, { from: address(fixed[family]), identifier }) });
    const answer = family === 4 ? icmp(0, identifier) : icmp(129, identifier);
    const reply = withChecksums(
      family === 4
        ? frame4({ from: virtual(4, 'fixed'), to: fixed[4], protocol: 1, payload: answer })
        : frame6({ from: virtual(6, 'fixed'), to: fixed[6], next: 58, payload: answer }),
    );
    expect(replay.one(reply)).toMatchObject({
      action: 'tx',
      bytes: changed(reply, { to: address(client[family]), identifier: 77, macs: back() }),
    });
  });
});

describe('what cannot be translated', () => {
  const reasonOf = async (frame: Buffer): Promise<string | undefined> =>
    nameOfReason((await dataPath.trace(frame, 'v0')).trace.readUInt8(8));

  it('is dropped, with its own reason', async () => {
    const echo = frame4({ from: client[4], to: virtual(4, 'dnat'), protocol: 1, payload: icmp(8) });
    const tunnel = frame4({ from: client[4], to: virtual(4, 'fixed'), protocol: 47, payload: Buffer.alloc(8) });
    expect([replay.one(echo).action, await reasonOf(echo), replay.one(tunnel).action, await reasonOf(tunnel)]).toEqual([
      'drop',
      'NOT_TRANSLATABLE',
      'drop',
      'NOT_TRANSLATABLE',
    ]);
  });
});

describe.each([4, 6] as const)('a translated flow over IPv%d', (family) => {
  interface Pair {
    readonly forward: (flags: number) => Buffer;
    readonly reverse: (flags: number) => Buffer;
    readonly ends: Ends;
    /** What is told of its translation. */
    readonly shown: Pick<FlowRecord, 'rewrite' | 'rewritten' | 'backend'>;
  }
  /** Begins one of full NAT with a SYN. */
  const begin = (): Pair => {
    const ends = newEnds(family, 'full');
    const sent = replay.one(packet(family, 'tcp', ends));
    const answer = {
      from: server(family, serverIn(sent.bytes, family)),
      to: own[family],
      fromPort: 8080,
      toPort: sourcePortIn(sent.bytes),
    };
    const rewritten = {
      source: hexOf(own[family]),
      sourcePort: answer.toPort,
      destination: hexOf(answer.from),
      destinationPort: 8080,
    };
    return {
      ends,
      // Of full NAT; the second balancer has the second six of the backends.
      shown: { rewrite: 3, rewritten, backend: 6 + (family === 4 ? 0 : 3) + serverIn(sent.bytes, family) },
      forward: (flags) => packet(family, 'tcp', { ...ends, flags }),
      reverse: (flags) => packet(family, 'tcp', { ...answer, flags }),
    };
  };
  const flowOf = async ({ ends }: Pair): Promise<readonly unknown[]> =>
    (await flowsOf(dataPath)).filter(({ sourcePort, family: each }) => sourcePort === ends.fromPort && each === family);

  it('is one flow for those who look, with both directions counted', async () => {
    const pair = begin();
    replay.run([pair.reverse(tcpFlag.syn | tcpFlag.ack), pair.forward(tcpFlag.ack), pair.reverse(tcpFlag.ack)]);
    expect(await flowOf(pair)).toMatchObject([
      { packets: [2n, 2n], destination: Buffer.from(address(virtual(family, 'full'))).toString('hex'), destinationPort: 80 },
    ]);
    expect(await flowOf(pair)).toMatchObject([pair.shown]);
  });

  it('ends once, with what both directions counted', async () => {
    await forgetRecords(dataPath);
    const pair = begin();
    const { ack, fin, syn } = tcpFlag;
    replay.run([pair.reverse(syn | ack), pair.forward(ack), pair.reverse(fin | ack), pair.forward(fin | ack), pair.reverse(ack)]);
    const records = await waitForRecords(dataPath, 2);
    expect(records.map(({ kind }) => kind)).toEqual([recordKinds.start, recordKinds.end]);
    expect(records[1]).toMatchObject({ sourcePort: pair.ends.fromPort, destinationPort: 80, packets: [3n, 2n] });
    for (const record of records) expect(record).toMatchObject(pair.shown);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(dataPath.takeRecords(10).records.length).toBe(0);
  });

  it.each(['forward', 'reverse'] as const)('is gone from both sides after a reset: %s', async (side) => {
    const pair = begin();
    replay.run([pair.reverse(tcpFlag.syn | tcpFlag.ack), pair[side](tcpFlag.rst)]);
    expect(await flowOf(pair)).toEqual([]);
    expect(replay.one(pair.reverse(tcpFlag.ack)).action).toBe('drop');
  });

  it.each(['alias', 'initiator'] as const)('survives the loss of one of its entries: %s', async (side) => {
    const pair = begin();
    const [reply, next] = replay.run([pair.reverse(tcpFlag.syn | tcpFlag.ack), pair.forward(tcpFlag.ack)]);
    replay.forget(family, side);
    // A repeated SYN or its answer takes the way on which the twin is looked at, as one packet a second does.
    if (side === 'alias') expect(replay.one(pair.forward(tcpFlag.syn)).action).toBe('redirect');
    else expect(replay.one(pair.reverse(tcpFlag.syn | tcpFlag.ack)).bytes).toEqual(reply?.bytes);
    expect(replay.one(pair.reverse(tcpFlag.syn | tcpFlag.ack)).bytes).toEqual(reply?.bytes);
    expect(replay.one(pair.forward(tcpFlag.ack)).bytes).toEqual(next?.bytes);
    expect((await flowOf(pair)).length).toBe(1);
  });

  it.each([
    ['direct', { rewrite: 8, backend: true }],
    ['masquerade', { rewrite: 1, backend: false }],
    ['marked', { rewrite: 0, backend: false }],
  ] as const)('tells what becomes of it, and no more: %s', async (kind, { rewrite, backend }) => {
    const none = 65_535;
    await forgetRecords(dataPath);
    const ends = newEnds(family, kind);
    const { bytes } = replay.one(packet(family, 'udp', ends));
    const records = await waitForRecords(dataPath, 1);
    const rows = (await flowsOf(dataPath)).filter(({ sourcePort, family: each }) => sourcePort === ends.fromPort && each === family);
    for (const row of [...records, ...rows]) {
      expect([row.rewrite, row.backend !== none]).toEqual([rewrite, backend]);
      if (kind === 'masquerade')
        expect(row.rewritten).toEqual({
          source: hexOf(own[family]),
          sourcePort: sourcePortIn(bytes),
          destination: hexOf(ends.to),
          destinationPort: 80,
        });
    }
    expect([records.length, rows.length]).toEqual([1, 1]);
  });
});
