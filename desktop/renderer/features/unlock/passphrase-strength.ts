/** How hard a passphrase is to guess, roughly; the core alone decides what it accepts. */

/** The core refuses shorter ones. */
export const passphraseLengthMin = 10;

export interface Strength {
  /** 0..4 */
  readonly score: number;
  readonly words: string;
}

const classes = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^A-Za-z0-9]/] as const;
const bitsOfScores = [28, 44, 60, 80] as const;

/** Bits by alphabet and length, where repeated and running characters count little. */
export const guessBits = (text: string): number => {
  const alphabet = [26, 26, 10, 33].reduce((sum, size, index) => (classes[index]?.test(text) === true ? sum + size : sum), 0);
  if (alphabet === 0) return 0;
  let fresh = 0;
  for (let index = 0; index < text.length; index += 1) {
    const step = index === 0 ? Number.NaN : text.charCodeAt(index) - text.charCodeAt(index - 1);
    fresh += step === 0 || Math.abs(step) === 1 ? 0.25 : 1;
  }
  return Math.min(fresh, new Set(text).size * 2) * Math.log2(alphabet);
};

export const strengthOf = (text: string): Strength => {
  if (text === '') return { score: 0, words: '' };
  if (text.length < passphraseLengthMin) return { score: 1, words: `Too short: at least ${String(passphraseLengthMin)} characters.` };
  const score = bitsOfScores.filter((bits) => guessBits(text) >= bits).length;
  const words = ['Weak: add words.', 'Weak: add words.', 'Fair: one more word makes it good.', 'Good.', 'Strong.'][score] ?? '';
  return { score: Math.max(1, score), words };
};
