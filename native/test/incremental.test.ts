/** Loading a policy costs what differs from the one two before; what is in the tables must not depend on the way there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import { dumpTable, generate, openDataPath, reasonNumber } from './support/data-path.ts';
import type { ImageContent, ImageDeny } from './support/image-builder.ts';
import { buildImage, denySection, l4, match } from './support/image-builder.ts';
import { frame4, tcp, tcpFlag } from './support/packets.ts';

/** Tables that are updated by the difference. */
const tables = ['nest_ident4', 'nest_ident6', 'nest_pairs', 'nest_deny4', 'nest_deny6', 'nest_deny_pfx4', 'nest_deny_pfx6'] as const;

let dataPath: DataPath;
let pinPath: string;

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
});

afterAll(async () => {
  await dataPath.remove();
});

const seeded = (start: number): ((limit: number) => number) => {
  let state = start;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
};

const sorted = <Key>(entries: ReadonlyMap<string, Key>): readonly Key[] =>
  [...entries.entries()].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, entry]) => entry);

/** A policy of up to `size` entries per table, drawn from a space so small that two of them share most. */
const randomContent = (random: (limit: number) => number, size: number): ImageContent => {
  const some = <Entry>(make: () => Entry, keyOf: (entry: Entry) => string): readonly Entry[] =>
    sorted(new Map(Array.from({ length: size }, make).map((entry) => [keyOf(entry), entry])));
  const prefixes = (bytes: 4 | 16): readonly { readonly address: readonly number[]; readonly length: number }[] =>
    some(
      () => {
        const isExact = random(2) === 0;
        const address = [198, 18, random(4), isExact ? random(256) : 0, ...Array.from({ length: bytes - 4 }, () => 0)];
        return { address, length: isExact ? bytes * 8 : 24 };
      },
      ({ address, length }) => `${Buffer.from(address).toString('hex')} ${String(length).padStart(3, '0')}`,
    );
  const deny = (bytes: 4 | 16): readonly ImageDeny[] => prefixes(bytes).map((entry) => ({ ...entry, list: random(3) }));
  const identities = (bytes: 4 | 16): NonNullable<ImageContent['identities4']> =>
    prefixes(bytes).map((entry) => ({ ...entry, source: random(10), destination: random(10) }));
  const keys = some(
    () => [1 + random(9), 1 + random(9), 1 + random(4)] as const,
    (key) => key.join(),
  );
  return {
    mappings: Array.from({ length: 20 }, (_, index) => ({ name: `m${String(index).padStart(2, '0')}`, priority: 5 })),
    sourceClasses: 9,
    destinationClasses: 9,
    identities4: identities(4),
    identities6: identities(16),
    pairs: keys.map(([source, destination, transport]) => ({ source, destination, l4: transport, ports: match(random(20), 5, false) })),
    denyLists: ['a', 'b', 'c'],
    deny4: deny(4),
    deny6: deny(16),
  };
};

describe('a policy loaded over another', () => {
  it('leaves in the tables what a first one leaves, whatever was there before', async () => {
    const seed = 0x1d1f_0001;
    console.log(`seed ${String(seed)}`);
    const random = seeded(seed);
    let other = await openDataPath();
    for (let round = 0; round < 24; round += 1) {
      const image = buildImage(randomContent(random, 1 + random(400)));
      await dataPath.swap(image, dataPath.state().sequence + 1);
      // A process that has just started knows nothing of the tables and loads them whole.
      await other.dataPath.close();
      other = await openDataPath(other.pinPath);
      await other.dataPath.swap(image, other.dataPath.state().sequence + 1);
      for (const table of tables)
        expect(dumpTable(pinPath, table), `${table} in round ${String(round)}`).toEqual(dumpTable(other.pinPath, table));
      // Prefixes that come at run time go with their policy.
      await dataPath.updateDeny(
        4,
        denySection([{ address: [198, 18, 9, round], length: 32, list: 1 }]),
        denySection([{ address: [198, 18, 1, 0], length: 24, list: 0 }]),
      );
    }
    await other.dataPath.remove();
  });

  it('refuses too many prefixes at run time, and the next policy has room again', async () => {
    const load = async (): Promise<void> => {
      await dataPath.swap(buildImage({ denyLists: ['a'] }), dataPath.state().sequence + 1);
    };
    const many = (third: number): Buffer =>
      denySection(Array.from({ length: 60_000 }, (_, index) => ({ address: [198, third, index >> 8, index & 255], length: 32, list: 0 })));
    await load();
    await dataPath.updateDeny(4, many(18), Buffer.alloc(0));
    await expect(dataPath.updateDeny(4, many(19), Buffer.alloc(0))).rejects.toMatchObject({
      code: 'NATIVE_TABLE_FULL',
      step: expect.any(String),
    });
    await load();
    await load();
    expect(dumpTable(pinPath, 'nest_deny4')).toEqual([]);
    await dataPath.updateDeny(4, many(19), Buffer.alloc(0));
    expect(dumpTable(pinPath, 'nest_deny4').length).toBe(60_000);
  });
});

describe('100 policies of 100,000 entries during 20 seconds of traffic', () => {
  it('lose no packet and misjudge none', { timeout: 120_000 }, async () => {
    await dataPath.attach('v0');
    const ports = 128;
    // The generator walks through all ports before it begins again.
    const packets = 2 * ports * 2344;
    /** Ports 0 to 127 are allowed, the next 128 denied, by mappings whose index and priority change with each policy. */
    const policy = (round: number): Buffer => {
      const before = round % 7;
      const mappings = [
        ...Array.from({ length: before }, (_, index) => ({ name: `a${String(index)}`, priority: 1 })),
        { name: 'b-allow', priority: 10 + (round % 5) },
        { name: 'c-deny', deny: true, priority: 20 + (round % 3) },
        { name: 'd-other', priority: 1 },
      ];
      const allow = match(before, 10 + (round % 5), false);
      const deny = match(before + 1, 20 + (round % 3), true);
      const other = match(before + 2, 1, false);
      return buildImage({
        mappings,
        sourceClasses: 401,
        destinationClasses: 250,
        identities4: [
          { address: [198, 18, 1, 0], length: round % 2 === 0 ? 24 : 25, source: 401 },
          { address: [198, 18, 2, 0], length: 24, destination: 250 },
        ],
        pairs: [
          ...Array.from({ length: 100_000 }, (_, index) => ({
            source: 1 + Math.floor(index / 250),
            destination: 1 + (index % 250),
            l4: l4.tcp,
            ports: index % 1000 === round ? match(before, 10 + (round % 5), false) : index % 500 < round ? deny : 0,
          })),
          {
            source: 401,
            destination: 250,
            l4: l4.tcp,
            ports: [
              [0, allow],
              [ports, deny],
              [2 * ports, other],
              ...Array.from({ length: round % 4 }, (_, index) => [1000 + index, index % 2 === 0 ? deny : other] as const),
            ] as const,
          },
        ],
      });
    };
    const images = Array.from({ length: 10 }, (_, round) => policy(round));
    const image = (round: number): Buffer => images[round % images.length] ?? Buffer.alloc(0);
    await dataPath.swap(image(0), dataPath.state().sequence + 1);
    const frame = frame4({
      from: '198.18.1.10',
      to: '198.18.2.20',
      protocol: 6,
      payload: tcp({ from: 40_000, to: 0, flags: tcpFlag.ack }),
    });
    const before = dataPath.counters();
    const sending = generate(frame, ['--count', String(packets), '--rate', '30000', '--vary-offset', '36', '--flows', String(2 * ports)]);
    const times: number[] = [];
    for (let isSending = true; isSending || times.length < 100;) {
      const result = await dataPath.swap(image(times.length + 1), dataPath.state().sequence + 1);
      times.push(result.loadMs);
      isSending = await Promise.race([sending.then(() => false), new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 80))]);
    }
    const sent = await sending;
    const after = dataPath.counters();
    const grown = (name: keyof typeof reasonNumber): number => {
      const at = (counters: typeof after): bigint =>
        counters.interfaces.find((each) => each.name === 'v0')?.reasons[reasonNumber[name] * 2] ?? 0n;
      return Number(at(after) - at(before));
    };
    times.sort((left, right) => left - right);
    console.log(
      `${String(times.length)} swaps during ${String(sent)} packets; load: median ${String(times[times.length >> 1]?.toFixed(1))} ms, longest ${String(times.at(-1)?.toFixed(1))} ms`,
    );
    const allowed = grown('POLICY_ALLOW') + grown('FLOW');
    const denied = grown('POLICY_DENY');
    expect(times.length).toBeGreaterThanOrEqual(100);
    expect([sent, allowed + denied]).toEqual([packets, packets]);
    expect([grown('DEFAULT_DENY'), grown('TABLE_MISSING')]).toEqual([0, 0]);
    expect([allowed, denied]).toEqual([sent / 2, sent / 2]);
  });
});
