import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../addon.ts';
import { openDataPath } from './support/data-path.ts';
import type { ImageContent } from './support/image-builder.ts';
import { buildImage, headerBytes, headerOffsets, l4, match } from './support/image-builder.ts';
import { address } from './support/packets.ts';
import { content, webPolicy } from './support/policies.ts';

let dataPath: DataPath;

beforeAll(async () => {
  dataPath = (await openDataPath()).dataPath;
});

afterAll(async () => {
  await dataPath.remove();
});

const damaged = (change: (image: Buffer) => Buffer | undefined): Buffer => {
  const image = webPolicy();
  return change(image) ?? image;
};
const patched = (offset: number, value: number): Buffer =>
  damaged((image) => {
    image.writeUInt32LE(value >>> 0, offset);
    return image;
  });
const rebuilt = (change: Partial<ImageContent>): Buffer => buildImage({ ...content, ...change });
const allow = match(0, 10, false);
const pairs = (
  ports: ImageContent['pairs'] extends readonly (infer Pair)[] | undefined ? (Pair extends { ports: infer Ports } ? Ports : never) : never,
): Buffer => rebuilt({ pairs: [{ source: 1, destination: 1, l4: l4.tcp, ports }] });

const hostile: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['less than a header', webPolicy().subarray(0, headerBytes - 1)],
  ['another magic', damaged((image) => Buffer.concat([Buffer.from('NESTIMG2'), image.subarray(8)]))],
  ['the version before', patched(headerOffsets.version, 1)],
  ['unknown flags', patched(headerOffsets.flags, 16)],
  ['flood mode', patched(headerOffsets.flags, 3 | 8)],
  ['deny lists that its flags deny', patched(headerOffsets.flags, 3 | 4)],
  ['more IPv4 prefixes than there are', patched(headerOffsets.identities4, 262_144)],
  ['more IPv4 prefixes than the limit', patched(headerOffsets.identities4, 0xffff_ffff)],
  ['more pairs than the limit', patched(headerOffsets.pairs, 1_048_577)],
  ['more port intervals than the limit', patched(headerOffsets.portIntervals, 0x8000_0000)],
  ['more mappings than the limit', patched(headerOffsets.mappings, 16_385)],
  ['names longer than the image', patched(headerOffsets.names, 0x7fff_ffff)],
  ['a reserved word that is set', patched(headerOffsets.reserved, 1)],
  ['bytes behind the end', damaged((image) => Buffer.concat([image, Buffer.from([0])]))],
  ['a missing last byte', damaged((image) => image.subarray(0, -1))],
  ['a prefix of 33 bits', rebuilt({ identities4: [{ address: [10, 0, 0, 0], length: 33, source: 1 }] })],
  ['a prefix with host bits', rebuilt({ identities4: [{ address: [10, 0, 0, 1], length: 31, source: 1 }] })],
  ['an IPv6 prefix of 129 bits', rebuilt({ identities6: [{ address: address('2001:db8::'), length: 129, source: 1 }] })],
  [
    'prefixes out of order',
    rebuilt({
      identities4: [
        { address: [11, 0, 0, 0], length: 8, source: 1 },
        { address: [10, 0, 0, 0], length: 8, source: 1 },
      ],
    }),
  ],
  [
    'a prefix twice',
    rebuilt({
      identities4: [
        { address: [10, 0, 0, 0], length: 8, source: 1 },
        { address: [10, 0, 0, 0], length: 8 },
      ],
    }),
  ],
  ['a source class that does not exist', rebuilt({ identities4: [{ address: [10, 0, 0, 0], length: 8, source: 2 }] })],
  ['a destination class that does not exist', rebuilt({ identities4: [{ address: [10, 0, 0, 0], length: 8, destination: 2 }] })],
  ['a pair of a class that does not exist', rebuilt({ pairs: [{ source: 2, destination: 1, l4: l4.tcp, ports: allow }] })],
  ['a pair of no transport class', rebuilt({ pairs: [{ source: 1, destination: 1, l4: 0, ports: allow }] })],
  ['a pair of an unknown transport class', rebuilt({ pairs: [{ source: 1, destination: 1, l4: 5, ports: allow }] })],
  [
    'a pair twice',
    rebuilt({
      pairs: [
        { source: 1, destination: 1, l4: 1, ports: allow },
        { source: 1, destination: 1, l4: 1, ports: allow },
      ],
    }),
  ],
  ['a match of a mapping that does not exist', pairs(match(3, 10, false))],
  ['a match with another priority than its mapping', pairs(match(0, 11, false))],
  ['a match with another action than its mapping', pairs(match(0, 10, true))],
  ['a match word without priority', pairs(0xffff)],
  [
    'port intervals that do not begin at 0',
    pairs([
      [1, allow],
      [5, 0],
    ]),
  ],
  [
    'port intervals out of order',
    pairs([
      [0, allow],
      [9, 0],
      [8, allow],
    ]),
  ],
  [
    'a port above 65535',
    pairs([
      [0, allow],
      [65_536, 0],
    ]),
  ],
  [
    'an interval of a mapping that does not exist',
    pairs([
      [0, allow],
      [5, match(9, 10, false)],
    ]),
  ],
  [
    'mappings out of order',
    rebuilt({
      mappings: [
        { name: 'b', priority: 10 },
        { name: 'a', priority: 10 },
        { name: 'c', deny: true, priority: 20 },
      ],
    }),
  ],
  [
    'a mapping name twice',
    rebuilt({
      mappings: [
        { name: 'a', priority: 10 },
        { name: 'a', priority: 10 },
        { name: 'c', deny: true, priority: 20 },
      ],
    }),
  ],
  [
    'a mapping without a name',
    rebuilt({
      mappings: [
        { name: '', priority: 10 },
        { name: 'a', priority: 10 },
        { name: 'c', deny: true, priority: 20 },
      ],
    }),
  ],
  ['a priority above 1000', buildImage({ mappings: [{ name: 'a', priority: 1001 }] })],
];

describe('a hostile image', () => {
  it.each(hostile)('with %s is refused before anything is touched', async (_, image) => {
    await expect(dataPath.swap(image, 1)).rejects.toMatchObject({ code: 'NATIVE_IMAGE_INVALID', step: expect.any(String) });
    expect(dataPath.state()).toMatchObject({ sequence: 0, flags: 0 });
  });

  it('whose port set reaches into the next one is refused', async () => {
    const image = rebuilt({
      pairs: [
        {
          source: 1,
          destination: 1,
          l4: 1,
          ports: [
            [0, allow],
            [5, 0],
          ],
        },
        {
          source: 1,
          destination: 1,
          l4: 2,
          ports: [
            [0, allow],
            [6, 0],
          ],
        },
      ],
    });
    const firstCount = headerBytes + content.identities4.length * 16 + content.identities6.length * 28 + 16;
    expect(image.readUInt32LE(firstCount)).toBe(2);
    image.writeUInt32LE(3, firstCount);
    await expect(dataPath.swap(image, 1)).rejects.toMatchObject({ code: 'NATIVE_IMAGE_INVALID' });
  });

  it('damaged in any way is loaded or refused with a code, never worse', async () => {
    let seed = 0x5eed_0001;
    console.log(`seed ${String(seed)}`);
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (seed >>> 8) % limit;
    };
    let refused = 0;
    for (let round = 0; round < 400; round += 1) {
      const image = webPolicy();
      for (let flips = 0; flips <= random(3); flips += 1) image[random(image.length)] = random(256);
      const sequence = dataPath.state().sequence + 1;
      const outcome = await dataPath.swap(image, sequence).then(
        () => 'loaded',
        (error: { readonly code?: string }) => error.code,
      );
      expect(['loaded', 'NATIVE_IMAGE_INVALID']).toContain(outcome);
      if (outcome !== 'loaded') refused += 1;
    }
    expect(refused).toBeGreaterThan(100);
  });

  it('cut off anywhere is refused', async () => {
    const whole = webPolicy();
    const sequence = dataPath.state().sequence + 1;
    for (let length = 0; length < whole.length; length += 5) {
      await expect(dataPath.swap(whole.subarray(0, length), sequence)).rejects.toMatchObject({ code: 'NATIVE_IMAGE_INVALID' });
    }
  });
});
