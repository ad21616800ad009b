import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { backendSeed, flowHash, parseAddress, ringPosition } from './api.ts';
import type { Address } from './api.ts';

const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

/** Printed by a C program with nest_hash_address and nest_hash_word: of the whole flow, and of its source alone. */
const golden: readonly [string, string, number, number, number, number, number][] = [
  ['198.18.0.1', '198.19.0.10', 40000, 443, 6, 0x4236_1027, 0x511f_90b0],
  ['192.0.2.255', '198.18.255.254', 65_535, 1, 17, 0x97ec_df9c, 0x1ead_8701],
  ['0.0.0.0', '255.255.255.255', 0, 0, 6, 0x2a72_3d8e, 0x8da3_aeb1],
  ['2001:db8::1', '2001:db8:ffff::443', 32_768, 8443, 6, 0x2ebe_8861, 0x0f4c_0db9],
  ['2001:db8:1234:5678:9abc:def0:1:2', '2001:db8::', 53, 53, 17, 0xf037_30ed, 0xaf0c_d6fd],
];

describe('the hash of a balanced flow', () => {
  it.each(golden)('is that of maglev.h for %s to %s', (...row) => {
    const [source, destination, sourcePort, destinationPort, protocol, flow, bySource] = row;
    const tuple = { source: address(source), destination: address(destination), sourcePort, destinationPort, protocol };
    expect([flowHash(tuple, false), flowHash(tuple, true)]).toEqual([flow, bySource]);
    expect(ringPosition(tuple, false)).toBe(flow % 65_537);
  });

  it('has the constants of maglev.h, whose change would need new figures here', () => {
    const header = readFileSync(new URL('../../bpf/include/nest/maglev.h', import.meta.url), 'utf8');
    for (const constant of ['NEST_HASH_SEED 0x4e455354u', 'hash *= 0x7feb352du;', 'hash *= 0x846ca68bu;'])
      expect(header).toContain(constant);
  });

  it('places a backend by its name, address and port', () => {
    expect(backendSeed('web-1', '192.0.2.10', 8080)).toBe(0x6a25_f636);
    const seeds = [
      backendSeed('web-2', '192.0.2.10', 8080),
      backendSeed('web-1', '192.0.2.11', 8080),
      backendSeed('web-1', '192.0.2.10', 0),
      0x6a25_f636,
    ];
    expect(new Set(seeds).size).toBe(4);
  });
});
