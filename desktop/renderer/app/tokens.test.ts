import { describe, expect, it } from 'vitest';
import { schemeNames, schemes, tokenCss } from './tokens.ts';
import type { Tokens } from './tokens.ts';

const luminance = (colour: string): number => {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const ratio = (first: string, second: string): number => {
  const [light, dark] = [luminance(first), luminance(second)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
};

const texts = [
  'gold',
  'goldSecond',
  'text',
  'dim',
  'sky',
  'ok',
  'warn',
  'crit',
  'off',
  'admin',
] as const satisfies readonly (keyof Tokens)[];
const grounds = ['bg', 'panel', 'sunken', 'selected', 'foot'] as const satisfies readonly (keyof Tokens)[];
const fills = [
  ['onSkyFill', 'skyFill'],
  ['onSkyFill', 'skyFillHover'],
  ['onDangerFill', 'dangerFill'],
  ['onDangerFill', 'dangerFillHover'],
  ['onAvatar', 'avatar'],
  ['onAdded', 'added'],
  ['onRemoved', 'removed'],
] as const satisfies readonly (readonly [keyof Tokens, keyof Tokens])[];

describe.each(schemeNames)('the %s scheme', (name) => {
  const { tokens, onHover } = schemes[name];
  const hovered: Tokens = { ...tokens, ...onHover };
  const pairs = [
    ...texts.flatMap((text) => grounds.map((ground) => [text, ground, tokens] as const)),
    ...texts.map((text) => [text, 'hover', hovered] as const),
    ...fills.map(([text, fill]) => [text, fill, tokens] as const),
  ];

  it.each(pairs)('writes %s on %s at 4.5:1 or better', (text, ground, scheme) => {
    expect(ratio(scheme[text], scheme[ground])).toBeGreaterThanOrEqual(4.5);
  });

  it('draws outlines at 3:1 or better on every ground', () => {
    const outlines = [...grounds.map((ground) => ratio(tokens.outline, tokens[ground])), ratio(hovered.outline, hovered.hover)];
    expect(Math.min(...outlines)).toBeGreaterThanOrEqual(3);
  });
});

describe('the style sheet', () => {
  it('gives every scheme a rule with every token', () => {
    const sheet = tokenCss();
    for (const name of schemeNames) expect(sheet).toContain(name === 'dark' ? ':root{' : `:root[data-scheme="${name}"]{`);
    expect(sheet.match(/--sky-fill-hover:/g)).toHaveLength(schemeNames.length);
  });
});
