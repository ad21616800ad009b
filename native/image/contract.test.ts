import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import * as limits from './limits.ts';
import { decodeMatch, encodeMatch } from './match-word.ts';

const header = (name: string): string => readFileSync(new URL(`../../bpf/include/nest/${name}`, import.meta.url), 'utf8');

const define = (text: string, name: string): string | undefined =>
  new RegExp(`^#define ${name}\\s+(?:\\()?"?([0-9A-Za-z]+?)u?"?(?:\\s|\\)|$)`, 'm').exec(text)?.[1];

const sizeOf = (text: string, name: string): number => Number(new RegExp(`sizeof\\(struct ${name}\\) == (\\d+)`).exec(text)?.[1]);

describe('the contract with the data path', () => {
  it('has the numbers of abi.h', () => {
    const abi = header('abi.h');
    const numbers = {
      NEST_MAPPINGS_MAX: limits.mappingsMax,
      NEST_PAIRS_MAX: limits.pairsMax,
      NEST_PORT_INTERVALS_MAX: limits.portIntervalsMax,
      NEST_IDENTITIES_MAX: limits.identitiesMax,
      NEST_L4_TCP: limits.l4.tcp,
      NEST_L4_UDP: limits.l4.udp,
      NEST_L4_ICMP: limits.l4.icmp,
      NEST_L4_OTHER: limits.l4.other,
      NEST_IDENTITY_ANY: limits.identityAny,
      NEST_MATCH_NONE: limits.matchNone,
      NEST_FLAG_ENFORCE: limits.flagEnforce,
      NEST_FLAG_DEFAULT_DENY: limits.flagDefaultDeny,
    };
    for (const [name, value] of Object.entries(numbers)) expect(define(abi, name), name).toBe(String(value));
  });

  it('has the layout of image.h', () => {
    const image = header('image.h');
    expect(define(image, 'NEST_IMAGE_MAGIC')).toBe(limits.imageMagic);
    expect(define(image, 'NEST_IMAGE_VERSION')).toBe(String(limits.imageVersion));
    expect(sizeOf(image, 'nest_image_header')).toBe(limits.imageHeaderBytes);
    expect(sizeOf(image, 'nest_image_identity4')).toBe(limits.identity4Bytes);
    expect(sizeOf(image, 'nest_image_identity6')).toBe(limits.identity6Bytes);
    expect(sizeOf(image, 'nest_image_pair')).toBe(limits.pairBytes);
    expect(sizeOf(image, 'nest_image_mapping')).toBe(limits.mappingBytes);
  });

  it('orders matches by priority, then deny, then the name that sorts first', () => {
    const word = (priority: number, isDeny: boolean, index: number): number => encodeMatch({ priority, isDeny, index });
    const ascending = [
      limits.matchNone,
      word(0, false, 16_383),
      word(0, false, 0),
      word(0, true, 5),
      word(1, false, 5),
      word(999, true, 0),
      word(1000, false, 9),
      word(1000, true, 9),
      word(1000, true, 8),
    ];
    expect([...ascending].sort((a, b) => a - b)).toEqual(ascending);
    expect(decodeMatch(word(1000, true, 16_383))).toEqual({ priority: 1000, isDeny: true, index: 16_383 });
    expect(decodeMatch(word(0, false, 0))).toEqual({ priority: 0, isDeny: false, index: 0 });
  });
});
