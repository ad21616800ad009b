/** Composition root of the renderer: everything a window needs is made here once and handed down. */
import createCache from '@emotion/cache';
import { CacheProvider } from '@emotion/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import type { Root } from 'react-dom/client';
import { Provider } from 'react-redux';
import { HashRouter } from 'react-router';
import type { BridgeClient } from '../../bridge/contract.ts';
import type { BridgeLink } from '../client/shell.tsx';
import { FleetTelemetry } from '../client/fleet-telemetry.ts';
import { createConsoleStore } from '../client/store.ts';
import { ConsoleApp } from './console-app.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import { SchemeProvider } from './scheme-provider.tsx';

export interface ConsoleOptions {
  readonly bridge: BridgeClient;
  /** Whether the bridge is connected. */
  readonly link: BridgeLink;
  readonly element: HTMLElement;
  /** Of the page's content security policy; undefined when the host sends none. */
  readonly nonce: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Draws the console into the element; unmounting the returned root ends all of its streams. */
export const startConsole = ({ bridge, link, element, nonce, now }: ConsoleOptions): Root => {
  const telemetry = new FleetTelemetry();
  const store = createConsoleStore({ bridge, telemetry });
  const styles = createCache({ key: 'nest', ...(nonce === undefined ? {} : { nonce }) });
  const root = createRoot(element);
  root.render(
    <StrictMode>
      <CacheProvider value={styles}>
        <Provider store={store}>
          <SchemeProvider>
            <ErrorBoundary>
              <HashRouter>
                <ConsoleApp telemetry={telemetry} link={link} now={now} />
              </HashRouter>
            </ErrorBoundary>
          </SchemeProvider>
        </Provider>
      </CacheProvider>
    </StrictMode>,
  );
  return root;
};
