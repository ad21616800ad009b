/**
 * Colours of the three schemes, the one source: css variables (tokenCss) and the MUI theme are made of them, and a test holds
 * every pair of text and ground at 4.5:1, every outline at 3:1. `onHover` are the tokens that change on the hover ground.
 */
export const schemeNames = ['dark', 'light', 'contrast'] as const;
export type SchemeName = (typeof schemeNames)[number];

/** Grounds, then text and lines that stand on any of them, then fills with their own text. */
export interface Tokens {
  readonly bg: string;
  readonly panel: string;
  readonly sunken: string;
  readonly hover: string;
  readonly selected: string;
  readonly foot: string;
  /** Decoration only: never the sole sign of anything. */
  readonly line: string;
  readonly rowLine: string;
  readonly outline: string;
  readonly gold: string;
  readonly goldSecond: string;
  readonly text: string;
  readonly dim: string;
  readonly sky: string;
  readonly ok: string;
  readonly warn: string;
  readonly crit: string;
  readonly off: string;
  readonly admin: string;
  readonly skyFill: string;
  readonly onSkyFill: string;
  readonly skyFillHover: string;
  readonly dangerFill: string;
  readonly onDangerFill: string;
  readonly dangerFillHover: string;
  readonly avatar: string;
  readonly onAvatar: string;
  readonly added: string;
  readonly onAdded: string;
  readonly removed: string;
  readonly onRemoved: string;
}

export interface Scheme {
  readonly mode: 'dark' | 'light';
  readonly tokens: Tokens;
  readonly onHover: Partial<Tokens>;
}

const dark: Scheme = {
  mode: 'dark',
  tokens: {
    bg: '#0f172a',
    panel: '#1e293b',
    sunken: '#0b1220',
    hover: '#334155',
    selected: '#17304a',
    foot: '#131d33',
    line: '#334155',
    rowLine: '#26334a',
    outline: '#6f809a',
    gold: '#fbbf24',
    goldSecond: '#f59e0b',
    text: '#fef3c7',
    dim: '#cbb27a',
    sky: '#38bdf8',
    ok: '#4ade80',
    warn: '#fb923c',
    crit: '#f87171',
    off: '#94a3b8',
    admin: '#eab308',
    skyFill: '#0369a1',
    onSkyFill: '#ffffff',
    skyFillHover: '#075985',
    dangerFill: '#b91c1c',
    onDangerFill: '#ffffff',
    dangerFillHover: '#991b1b',
    avatar: '#0c4a6e',
    onAvatar: '#e0f2fe',
    added: '#0f3324',
    onAdded: '#bbf7d0',
    removed: '#3f1620',
    onRemoved: '#fecaca',
  },
  onHover: { outline: '#94a3b8', crit: '#fca5a5', off: '#b6c2d2', dim: '#d9c38f', sky: '#7dd3fc' },
};

const light: Scheme = {
  mode: 'light',
  tokens: {
    bg: '#f1f5f9',
    panel: '#ffffff',
    sunken: '#f8fafc',
    hover: '#e2e8f0',
    selected: '#e0f2fe',
    foot: '#e8eef5',
    line: '#cbd5e1',
    rowLine: '#e2e8f0',
    outline: '#64748b',
    gold: '#854d0e',
    goldSecond: '#854d0e',
    text: '#1f2937',
    dim: '#6b5a32',
    sky: '#075985',
    ok: '#166534',
    warn: '#9a3412',
    crit: '#b91c1c',
    off: '#475569',
    admin: '#713f12',
    skyFill: '#0369a1',
    onSkyFill: '#ffffff',
    skyFillHover: '#075985',
    dangerFill: '#b91c1c',
    onDangerFill: '#ffffff',
    dangerFillHover: '#991b1b',
    avatar: '#bae6fd',
    onAvatar: '#0c4a6e',
    added: '#dcfce7',
    onAdded: '#14532d',
    removed: '#fee2e2',
    onRemoved: '#7f1d1d',
  },
  onHover: {},
};

const contrast: Scheme = {
  mode: 'dark',
  tokens: {
    bg: '#000000',
    panel: '#000000',
    sunken: '#000000',
    hover: '#262626',
    selected: '#00263d',
    foot: '#000000',
    line: '#a3a3a3',
    rowLine: '#525252',
    outline: '#ffffff',
    gold: '#ffd84d',
    goldSecond: '#ffd84d',
    text: '#ffffff',
    dim: '#f5e6c0',
    sky: '#7dd3fc',
    ok: '#86efac',
    warn: '#fdba74',
    crit: '#fca5a5',
    off: '#d4d4d4',
    admin: '#ffe066',
    skyFill: '#7dd3fc',
    onSkyFill: '#000000',
    skyFillHover: '#bae6fd',
    dangerFill: '#fca5a5',
    onDangerFill: '#000000',
    dangerFillHover: '#fecaca',
    avatar: '#7dd3fc',
    onAvatar: '#000000',
    added: '#052e16',
    onAdded: '#bbf7d0',
    removed: '#450a0a',
    onRemoved: '#fecaca',
  },
  onHover: {},
};

export const schemes: Readonly<Record<SchemeName, Scheme>> = { dark, light, contrast };

const variable = (name: string): string => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
const declarations = (tokens: Partial<Tokens>): string =>
  Object.entries(tokens)
    .map(([name, colour]) => `${variable(name)}:${colour};`)
    .join('');

/** The style sheet of all schemes: `html[data-scheme]` chooses one, `.on-hover` and hovered rows take the lighter tokens. */
export const tokenCss = (): string =>
  schemeNames
    .map((name) => {
      const { mode, tokens, onHover } = schemes[name];
      const root = name === 'dark' ? ':root' : `:root[data-scheme="${name}"]`;
      const hovered = `:root[data-scheme="${name}"] :is(.row:hover,.on-hover)`;
      return `${root}{color-scheme:${mode};${declarations(tokens)}}${Object.keys(onHover).length > 0 ? `${hovered}{${declarations(onHover)}}` : ''}`;
    })
    .join('\n');
