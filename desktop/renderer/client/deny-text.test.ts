import { describe, expect, it } from 'vitest';
import { denyFaultsShown, readDenyText } from './deny-text.ts';

describe('a pasted deny list', () => {
  it('reads both families, comments, CSV and repeated entries', () => {
    const text = '\uFEFF# feed\n198.18.66.0/24 ; bad\n\n"2001:DB8:66::/48",spam\n198.18.66.0/24\r\n198.18.70.1\n';
    expect(readDenyText(text)).toEqual({
      prefixes: ['198.18.66.0/24', '2001:db8:66::/48', '198.18.70.1'],
      ipv4: 2,
      ipv6: 1,
      repeated: 1,
      faultCount: 0,
      faults: [],
    });
  });

  it('names faults by line and shows the first of many', () => {
    const { faults, prefixes } = readDenyText('198.18.0.1\nevil.example\n198.18.0.1/8');
    expect(prefixes).toEqual(['198.18.0.1']);
    expect(faults.map(({ line }) => line)).toEqual([2, 3]);
    expect(faults[1]?.message).toContain('write 198.0.0.0/8');
    const many = readDenyText('x\n'.repeat(60));
    expect([many.faultCount, many.faults.length]).toEqual([60, denyFaultsShown]);
  });
});
