/** Puts the chosen scheme and density on the document, and gives MUI its theme. */
import { Global } from '@emotion/react';
import { ThemeProvider } from '@mui/material/styles';
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import type { ReactNode } from 'react';
import type { Settings } from '../../bridge/model.ts';
import { useSettingsQuery } from '../client/bridge-api.ts';
import { createConsoleTheme } from './theme.ts';
import { tokenCss } from './tokens.ts';
import type { SchemeName } from './tokens.ts';

const sheet = tokenCss();
const lightQuery = '(prefers-color-scheme: light)';
const contrastQuery = '(prefers-contrast: more)';

const matches = (query: string): boolean => typeof window.matchMedia === 'function' && window.matchMedia(query).matches;

/** What the operating system asks for. */
const systemScheme = (): SchemeName => (matches(contrastQuery) ? 'contrast' : matches(lightQuery) ? 'light' : 'dark');

const watchSystem = (listener: () => void): (() => void) => {
  if (typeof window.matchMedia !== 'function') return () => undefined;
  const queries = [lightQuery, contrastQuery].map((query) => window.matchMedia(query));
  for (const query of queries) query.addEventListener('change', listener);
  return () => {
    for (const query of queries) query.removeEventListener('change', listener);
  };
};

const chosenScheme = (settings: Settings | undefined, system: SchemeName): SchemeName => {
  if (settings === undefined) return 'dark';
  return settings.scheme === 'system' ? system : settings.scheme;
};

export const SchemeProvider = ({ children }: { readonly children: ReactNode }) => {
  const { data: settings } = useSettingsQuery({});
  const system = useSyncExternalStore(watchSystem, systemScheme);
  const scheme = chosenScheme(settings, system);
  const theme = useMemo(() => createConsoleTheme(scheme), [scheme]);
  const density = settings?.density ?? 'comfortable';
  useEffect(() => {
    document.documentElement.dataset['scheme'] = scheme;
    document.documentElement.dataset['density'] = density;
  }, [scheme, density]);
  return (
    <ThemeProvider theme={theme}>
      <Global styles={sheet} />
      {children}
    </ThemeProvider>
  );
};
