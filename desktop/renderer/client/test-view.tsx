/** Draws one view for a test, with a store, a shell and a router around it, over the test bridge. Ships nowhere. */
import { render } from '@testing-library/react';
import type { ReactNode } from 'react';
import { Provider } from 'react-redux';
import { MemoryRouter, useLocation } from 'react-router';
import { FleetTelemetry } from './fleet-telemetry.ts';
import { ShellContext } from './shell.tsx';
import { createConsoleStore } from './store.ts';
import type { ConsoleStore } from './store.ts';
import type { TestBridge } from './test-bridge.ts';

export interface TestView {
  readonly store: ConsoleStore;
  readonly telemetry: FleetTelemetry;
  /** Path and search of the router now. */
  readonly address: () => string;
  readonly unmount: () => void;
}

/** jsdom lays nothing out: virtual lists get a height here, so that they draw rows. */
const layOut = (): void => {
  Object.defineProperty(HTMLElement.prototype, 'clientHeight', { configurable: true, value: 1_024 });
  Object.defineProperty(HTMLElement.prototype, 'clientWidth', { configurable: true, value: 1_024 });
  HTMLElement.prototype.scrollTo = () => undefined;
};

export const renderView = (view: ReactNode, bridge: TestBridge, path = '/'): TestView => {
  layOut();
  const telemetry = new FleetTelemetry();
  telemetry.put({ at: bridge.now(), hosts: bridge.hosts });
  const store = createConsoleStore({ bridge, telemetry });
  let address = path;
  const Witness = (): null => {
    const { pathname, search } = useLocation();
    address = `${pathname}${search}`;
    return null;
  };
  const link = { status: 'open', onStatus: () => () => undefined } as const;
  const { unmount } = render(
    <Provider store={store}>
      <ShellContext value={{ telemetry, link, now: bridge.now, search: () => undefined }}>
        <MemoryRouter initialEntries={[path]}>
          {view}
          <Witness />
        </MemoryRouter>
      </ShellContext>
    </Provider>,
  );
  return { store, telemetry, address: () => address, unmount };
};
