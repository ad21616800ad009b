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
      NEST_DENY_PREFIXES_MAX: limits.denyPrefixesMax,
      NEST_DENY_LISTS_MAX: limits.denyListsMax,
      NEST_BALANCERS_MAX: limits.balancersMax,
      NEST_BACKENDS_MAX: limits.backendsMax,
      NEST_RING_SIZE: limits.ringSize,
      NEST_L4_TCP: limits.l4.tcp,
      NEST_L4_UDP: limits.l4.udp,
      NEST_L4_ICMP: limits.l4.icmp,
      NEST_L4_OTHER: limits.l4.other,
      NEST_IDENTITY_ANY: limits.identityAny,
      NEST_MATCH_NONE: limits.matchNone,
      NEST_FLAG_ENFORCE: limits.flagEnforce,
      NEST_FLAG_DEFAULT_DENY: limits.flagDefaultDeny,
      NEST_FLAG_DENY: limits.flagDeny,
      NEST_ACTION_LIMIT_PER_SOURCE: limits.actionLimitPerSource,
      NEST_ACTION_SNAT: limits.actionSourceNat,
      NEST_ACTION_MASQUERADE: limits.actionMasquerade,
      NEST_DSCP_KEEP: limits.dscpKeep,
      NEST_NAT_DESTINATION: limits.natKind.dnat,
      NEST_NAT_FULL: limits.natKind.full,
      NEST_NAT_DIRECT: limits.natKind.dsr,
      NEST_BACKEND_UP: limits.backendState.up,
      NEST_BACKEND_DRAIN: limits.backendState.drain,
      NEST_BACKEND_DOWN: limits.backendState.down,
      NEST_RING_NONE: limits.ringNone,
    };
    for (const [name, value] of Object.entries(numbers)) expect(Number(define(abi, name)), name).toBe(value);
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
    expect(sizeOf(image, 'nest_image_action')).toBe(limits.actionBytes);
    expect(sizeOf(image, 'nest_image_deny4')).toBe(limits.deny4Bytes);
    expect(sizeOf(image, 'nest_image_deny6')).toBe(limits.deny6Bytes);
    expect(sizeOf(header('abi.h'), 'nest_balancer')).toBe(limits.balancerBytes);
    expect(sizeOf(header('abi.h'), 'nest_backend')).toBe(limits.backendBytes);
  });

  it('has the ranges that abi.h tells beside its fields', () => {
    const abi = header('abi.h');
    expect(abi).toContain('packets_per_second; /* 0 = no limit, else 1 .. 1e9 */');
    expect(abi).toContain('0 = no limit, else 1 .. 1e12; length on the wire */');
    expect(abi).toContain('depth of the bucket, 1 .. 1e9 */');
    expect(abi).toContain('burst_bytes;        /* 1514 .. 4e9 */');
    expect(abi).toContain('weight;      /* 0..1000; 0 is never chosen */');
    expect([limits.packetsPerSecondMax, limits.bytesPerSecondMax, limits.burstPacketsMax]).toEqual([1e9, 1e12, 1e9]);
    expect([limits.burstBytesMin, limits.burstBytesMax, limits.backendWeightMax]).toEqual([1514, 4e9, 1000]);
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
