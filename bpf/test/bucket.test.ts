import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Limit {
  readonly packetsPerSecond: bigint;
  readonly bytesPerSecond: bigint;
  readonly burstPackets: bigint;
  readonly burstBytes: bigint;
}

interface Packet {
  readonly nowNs: bigint;
  readonly bytes: bigint;
}

const scale = 1_000_000_000n;
const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let program: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-t-bucket-'));
  program = join(folder, 'bucket');
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-Ibpf', '-Ibpf/include', '-pthread'];
  execFileSync('clang-19', [...flags, 'bpf/test/bucket.c', '-o', program], { cwd: root, stdio: 'inherit' });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const minimum = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** The textbook bucket: tokens grow with time up to the burst. In billionths, so that it is exact. */
const model = (limit: Limit, packets: Iterable<Packet>): readonly boolean[] => {
  let packetTokens = limit.burstPackets * scale;
  let byteTokens = limit.burstBytes * scale;
  let lastNs: bigint | undefined;
  const within: boolean[] = [];
  for (const { nowNs, bytes } of packets) {
    const elapsedNs = nowNs - (lastNs ?? nowNs);
    lastNs = nowNs;
    packetTokens = minimum(limit.burstPackets * scale, packetTokens + elapsedNs * limit.packetsPerSecond);
    byteTokens = minimum(limit.burstBytes * scale, byteTokens + elapsedNs * limit.bytesPerSecond);
    const hasPacket = limit.packetsPerSecond === 0n || packetTokens >= scale;
    const hasBytes = limit.bytesPerSecond === 0n || byteTokens >= bytes * scale;
    const fits = hasPacket && hasBytes;
    if (fits) {
      packetTokens -= scale;
      byteTokens -= bytes * scale;
    }
    within.push(fits);
  }
  return within;
};

const words = (values: readonly bigint[]): Buffer => Buffer.from(BigUint64Array.from(values).buffer);

const run = (cases: readonly { readonly limit: Limit; readonly packets: readonly Packet[] }[]): readonly number[] => {
  const input = cases.map(({ limit, packets }) =>
    words([
      limit.packetsPerSecond,
      limit.bytesPerSecond,
      limit.burstPackets,
      limit.burstBytes,
      BigInt(packets.length),
      ...packets.flatMap(({ nowNs, bytes }) => [nowNs, bytes]),
    ]),
  );
  return [...execFileSync(program, { input: Buffer.concat(input), maxBuffer: 64 << 20 })];
};

let seed = 0x0b0c_4e7a;
const random = (limit: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed / 2 ** 32) * limit;
};
/** From 1 to 10^digits, as many of each order of magnitude. */
const magnitude = (digits: number): bigint => BigInt(Math.floor(10 ** random(digits)));
const pick = <T>(values: readonly T[]): T => values[Math.floor(random(values.length))] as T;

const year = 31_557_600n * scale;

/** Gaps of nothing, of about one packet or one burst, around the borders of the horizon, and of years. */
const gap = (limit: Limit): bigint => {
  const rate = limit.packetsPerSecond > 0n && random(2) < 1 ? limit.packetsPerSecond : limit.bytesPerSecond || limit.packetsPerSecond;
  const horizon = (9n * scale * scale) / rate;
  return pick([
    () => 0n,
    () => magnitude(4),
    () => BigInt(Math.floor(random(3) * (1e9 / Number(rate)))),
    () => (limit.burstPackets * scale) / (limit.packetsPerSecond || 1n),
    () => 999_999n + magnitude(1),
    () => horizon + BigInt(Math.floor(random(3))) - 1n,
    () => 2n * horizon + magnitude(6),
    () => BigInt(Math.floor(random(20))) * ((1n << 64n) / rate),
    () => year * magnitude(1),
  ])();
};

const randomCase = (): { readonly limit: Limit; readonly packets: readonly Packet[] } => {
  const kind = Math.floor(random(3));
  const limit = {
    packetsPerSecond: kind === 1 ? 0n : magnitude(9),
    bytesPerSecond: kind === 0 ? 0n : magnitude(12),
    burstPackets: random(3) < 1 ? magnitude(9) : magnitude(1.5),
    burstBytes: random(3) < 1 ? 4_000_000_000n : 1514n + magnitude(4),
  };
  let nowNs = magnitude(18);
  const isBusy = random(2) < 1;
  const packets = Array.from({ length: 200 }, () => {
    nowNs += isBusy && random(20) > 1 ? magnitude(7) : gap(limit);
    // The clock of a machine that has been up for 500 years.
    nowNs = minimum(nowNs, 500n * year);
    return { nowNs, bytes: pick([60n, 1514n, 65_535n, 60n + magnitude(4)]) };
  });
  return { limit, packets };
};

describe('the token bucket', () => {
  it('agrees with the exact model for 2,000 random limits, packet by packet', () => {
    console.log(`seed ${String(seed)}`);
    const cases = Array.from({ length: 2000 }, randomCase);
    const results = run(cases);
    let at = 0;
    const accepted = { yes: 0, no: 0 };
    for (const { limit, packets } of cases) {
      const expected = model(limit, packets);
      const got = results.slice(at, at + packets.length);
      at += packets.length;
      const wrong = expected.findIndex((fits, index) => got[index] !== Number(fits));
      if (wrong >= 0) expect({ limit, packets: packets.slice(0, wrong + 1), within: got[wrong] }).toEqual(expected[wrong]);
      for (const fits of expected) accepted[fits ? 'yes' : 'no'] += 1;
    }
    expect(at).toBe(results.length);
    // Both answers are common, or the cases would prove little.
    expect(Math.min(accepted.yes, accepted.no)).toBeGreaterThan(at / 10);
  });

  it('loses no remainder: three packets per second, asked a thousand times a second for 200 seconds', () => {
    const limit = { packetsPerSecond: 3n, bytesPerSecond: 0n, burstPackets: 10n, burstBytes: 1514n };
    const packets = Array.from({ length: 200_000 }, (_, index) => ({ nowNs: 7n + BigInt(index) * 999_983n, bytes: 60n }));
    const within = run([{ limit, packets }]).filter((byte) => byte === 1).length;
    expect(within).toBe(model(limit, packets).filter(Boolean).length);
    // The burst, and one for each full third of a second after the first packet.
    expect(within).toBe(10 + Math.floor((199_999 * 999_983 * 3) / 1e9));
  });

  it('never lets more than the burst and the rate through over any time', () => {
    const limit = { packetsPerSecond: 1_000_000n, bytesPerSecond: 10n ** 9n, burstPackets: 100n, burstBytes: 100_000n };
    let nowNs = 5n;
    const packets = Array.from({ length: 20_000 }, () => {
      nowNs += magnitude(4.5);
      return { nowNs, bytes: 60n + magnitude(3) };
    });
    const within = run([{ limit, packets }]);
    const taken = packets.filter((_, index) => within[index] === 1);
    expect(taken.length).toBeGreaterThan(1000);
    // Over all intervals at once: what was taken, less what time gave, never rises by more than the burst.
    const rise = (cost: (packet: Packet) => bigint, rate: bigint): bigint => {
      let sum = 0n;
      let lowest: bigint | undefined;
      let most = 0n;
      for (const packet of taken) {
        const before = sum * scale - rate * packet.nowNs;
        sum += cost(packet);
        lowest = lowest === undefined ? before : minimum(lowest, before);
        const after = before + cost(packet) * scale - lowest;
        if (after > most) most = after;
      }
      return most;
    };
    expect(rise(() => 1n, limit.packetsPerSecond)).toBeLessThanOrEqual(limit.burstPackets * scale);
    expect(rise(({ bytes }) => bytes, limit.bytesPerSecond)).toBeLessThanOrEqual(limit.burstBytes * scale);
  });

  it.each([
    [1_000_000, 100_000],
    [1000, 100],
    [50_000_000, 10],
  ])('shared by two threads, %i packets/s with a burst of %i: never above the model, and within a twentieth of it', (rate, burst) => {
    const output = execFileSync(program, ['race', String(rate), String(burst), '200'], { maxBuffer: 64 << 20 });
    const [taken = 0n, ...rest] = new BigUint64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.byteLength));
    const times = BigUint64Array.from(rest).sort();
    const limit = { packetsPerSecond: BigInt(rate), bytesPerSecond: 0n, burstPackets: BigInt(burst), burstBytes: 1514n };
    const expected = model(
      limit,
      [...times].map((nowNs) => ({ nowNs, bytes: 64n })),
    ).filter(Boolean).length;
    expect(Number(taken)).toBeLessThanOrEqual(expected);
    expect(Number(taken)).toBeGreaterThan(expected * 0.95 - 2);
  });
});
