import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../lib/api.ts';
import { newSeal, openValue, sealValue } from './sealed-value.ts';

describe('a sealed value', () => {
  const seal = newSeal(systemRandom);
  const sealed = sealValue({ label: 'a', value: { at: 7 } }, seal, systemRandom) as { readonly nonce: string; readonly box: string };

  it('opens under its seal and label, and under nothing else', () => {
    expect(openValue('a', sealed, seal)).toEqual({ at: 7 });
    expect(openValue('b', sealed, seal)).toBeNull();
    expect(openValue('a', sealed, newSeal(systemRandom))).toBeNull();
  });

  it('is nothing once it was changed, or never was one', () => {
    const bytes = Buffer.from(sealed.box, 'base64');
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(openValue('a', { ...sealed, box: changed.toString('base64') }, seal)).toBeNull();
    }
    for (const foreign of [null, {}, { nonce: '', box: '' }, 'text']) expect(openValue('a', foreign, seal)).toBeNull();
  });
});
