import { describe, expect, it } from 'vitest';
import {
  formatAge,
  formatBitRate,
  formatBytes,
  formatCount,
  formatCountdown,
  formatGeneration,
  formatScaled,
  formatShare,
  formatSpan,
  groupsOfFour,
} from './units.ts';

describe('numbers', () => {
  it('writes what was not measured as a dash, never as a zero', () => {
    expect([
      formatCount(null),
      formatScaled(undefined),
      formatBytes(null),
      formatShare(null),
      formatBitRate(null),
      formatScaled(Number.NaN),
      formatGeneration(null),
    ]).toEqual(Array(7).fill('–'));
    expect([formatCount(0), formatScaled(0), formatShare(0), formatBytes(0)]).toEqual(['0', '0', '0 %', '0 B']);
  });

  it('scales to three digits and never shows 1000 of a smaller unit', () => {
    expect([912, 999, 999.7, 1_000, 41_207, 999_499, 999_600, 6_450_000, 3.61e9, 0.4, 5.25].map(formatScaled)).toEqual([
      '912',
      '999',
      '1 k',
      '1 k',
      '41.2 k',
      '999 k',
      '1 M',
      '6.45 M',
      '3.61 G',
      '0.40',
      '5.3',
    ]);
    expect([1_023, 1_024, 1_536, 1024 ** 3].map(formatBytes)).toEqual(['1023 B', '1 KiB', '1.50 KiB', '1 GiB']);
    expect([formatBitRate(125), formatBitRate(806_250_000)]).toEqual(['1 kbit/s', '6.45 Gbit/s']);
  });

  it('writes whole counts and rates near them without a fraction of zeros', () => {
    expect([1, 1.001, 0.999, 2.04, 10.04, 12_000].map(formatScaled)).toEqual(['1', '1', '1', '2', '10', '12 k']);
  });

  it('says 100 % only when it is all', () => {
    expect([0.41, 0.9996, 1, 0.004].map(formatShare)).toEqual(['41 %', '99.9 %', '100 %', '0.4 %']);
  });
});

describe('time', () => {
  it('writes spans in two units and leaves zero units out', () => {
    expect([0, 12, 60, 250, 900, 3_600, 11_520, 3_549_600, -5].map(formatSpan)).toEqual([
      '0 s',
      '12 s',
      '1 min',
      '4 min 10 s',
      '15 min',
      '1 h',
      '3 h 12 min',
      '41 d 2 h',
      '0 s',
    ]);
  });

  it('writes ages in one unit', () => {
    expect([0, 8_400, 720_000, 3 * 3_600_000, 41 * 86_400_000].map(formatAge)).toEqual(['0 s', '8 s', '12 min', '3 h', '41 d']);
  });

  it('counts down to 0:00 and not below', () => {
    expect([581_000, 59_001, 1, 0, -4_000].map(formatCountdown)).toEqual(['9:41', '1:00', '0:01', '0:00', '0:00']);
  });
});

describe('fingerprints', () => {
  it('fall into groups of four whatever separates their bytes', () => {
    expect(groupsOfFour('9a:41:c0:2e:77')).toEqual(['9a41', 'c02e', '77']);
  });
});
