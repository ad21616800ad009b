/** What the composition root hands to every view: telemetry, the clock, and the way to the command palette. */
import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { BridgeStatus } from '../../bridge/client.ts';
import type { FleetTelemetry } from './fleet-telemetry.ts';

/** The part of the bridge's connection that tells whether it is there. */
export interface BridgeLink {
  readonly status: BridgeStatus;
  onStatus(listener: (status: BridgeStatus) => void): () => void;
}

export interface Shell {
  readonly telemetry: FleetTelemetry;
  readonly link: BridgeLink;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Opens the command palette. */
  readonly search: () => void;
}

export const ShellContext = createContext<Shell | null>(null);

export const useShell = (): Shell => {
  const shell = useContext(ShellContext);
  if (shell === null) throw new Error('a view was rendered outside the shell');
  return shell;
};

/** The fleet's fast numbers; renders again with every frame. */
export const useFleet = (): FleetTelemetry => {
  const { telemetry } = useShell();
  useSyncExternalStore(telemetry.subscribe, telemetry.version);
  return telemetry;
};

/** The time, renewed every `periodMs` while the view is shown. */
export const useNow = (periodMs = 1_000): number => {
  const { now } = useShell();
  const [at, setAt] = useState(now);
  useEffect(() => {
    const timer = setInterval(() => setAt(now()), periodMs);
    return () => clearInterval(timer);
  }, [now, periodMs]);
  return at;
};

/** Renders again when the bridge goes or comes back. */
export const useBridgeStatus = (): BridgeStatus => {
  const { link } = useShell();
  return useSyncExternalStore(
    (listener) => link.onStatus(listener),
    () => link.status,
  );
};
