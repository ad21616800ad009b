import { describe, expect, it } from 'vitest';
import { guessBits, strengthOf } from './passphrase-strength.ts';

describe('passphrase strength', () => {
  it('says nothing about nothing and refuses to praise short ones', () => {
    expect(strengthOf('').score).toBe(0);
    expect(strengthOf('Zx9!kQ#').words).toContain('at least 10');
  });

  it('counts repeated and running characters little', () => {
    expect(guessBits('aaaaaaaaaaaaaaaa')).toBeLessThan(guessBits('horse'));
    expect(strengthOf('abcdefghijkl').score).toBe(1);
    expect(strengthOf('1111111111111111').score).toBe(1);
  });

  it('ranks several words above one', () => {
    expect(strengthOf('correct horse battery staple').score).toBe(4);
    expect(strengthOf('correct horse battery staple').score).toBeGreaterThan(strengthOf('correcthor').score);
  });
});
