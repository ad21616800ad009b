/** Which of the three faces is shown: create a fleet, unlock it, or the console. */
import { Suspense, lazy, useCallback, useEffect, useMemo, useState } from 'react';
import { useWatchConsoleQuery } from '../client/bridge-api.ts';
import type { FleetTelemetry } from '../client/fleet-telemetry.ts';
import type { BridgeLink } from '../client/shell.tsx';
import { ShellContext } from '../client/shell.tsx';
import { useConsoleDispatch } from '../client/store.ts';
import { windowCleared } from '../client/window-slice.ts';
import { Bones } from '../widgets/blank.tsx';
import { Frame } from './frame.tsx';

const GatePage = lazy(async () => ({ default: (await import('../features/unlock/gate-page.tsx')).GatePage }));

interface ConsoleAppProps {
  readonly telemetry: FleetTelemetry;
  readonly link: BridgeLink;
  readonly now: () => number;
}

export const ConsoleApp = ({ telemetry, link, now }: ConsoleAppProps) => {
  const { data: followed } = useWatchConsoleQuery({});
  const dispatch = useConsoleDispatch();
  const [isSearching, setSearching] = useState(false);
  const search = useCallback(() => setSearching(true), []);
  const shell = useMemo(() => ({ telemetry, link, now, search }), [telemetry, link, now, search]);
  const state = followed?.value ?? null;
  const failure = followed?.failure ?? null;
  const isOpen = state?.phase === 'open';
  useEffect(() => {
    if (isOpen) return;
    telemetry.clear();
    dispatch(windowCleared());
  }, [isOpen, telemetry, dispatch]);

  if (state === null && failure === null) return <Bones label="Connecting to the console" />;
  return (
    <ShellContext value={shell}>
      {isOpen ? (
        <Frame state={state} failure={failure} isSearching={isSearching} onSearch={setSearching} />
      ) : (
        <Suspense fallback={<Bones label="Loading" />}>
          <GatePage state={state} failure={failure} />
        </Suspense>
      )}
    </ShellContext>
  );
};
