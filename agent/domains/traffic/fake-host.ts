/** A host for tests of the traffic domain: the domain itself over a data path in memory and a clock moved by hand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { createEngine } from '../../engine/engine.ts';
import { createFakeKernel } from '../../engine/fake-data-path.ts';
import type { FakeKernel, FakePacket } from '../../engine/fake-data-path.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import type { Flow, Traffic } from './api.ts';
import { createTraffic } from './traffic.ts';
import type { TrafficOptions } from './traffic.ts';

export interface MappingText {
  readonly name: string;
  readonly action: 'allow' | 'deny';
  readonly ports?: readonly string[];
  readonly priority?: number;
}

/** A policy between the services "clients" and "servers". */
export const policy = (mappings: readonly MappingText[], defaultAction: 'allow' | 'deny' = 'allow'): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction,
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24'] },
      { name: 'servers', addresses: ['198.19.1.0/24'] },
    ],
    mappings: mappings.map((mapping) => ({
      sources: ['clients'],
      destinations: ['servers'],
      protocols: ['tcp'],
      priority: 100,
      ...mapping,
    })),
  });

export const empty = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
export const denyDb: MappingText = { name: 'deny-db', action: 'deny', ports: ['5432'] };
export const web: FakePacket = { source: '198.18.1.10', destination: '198.19.1.10', sourcePort: 40_000, destinationPort: 80 };
export const db: FakePacket = { source: '198.18.1.11', destination: '198.19.1.10', sourcePort: 40_001, destinationPort: 5432, bytes: 1500 };

export interface FakeHost {
  readonly directory: string;
  readonly kernel: FakeKernel;
  readonly clock: ManualClock;
  /** Messages by code. */
  readonly warnings: Map<string, string>;
  /** Opens the domain on this host; again after a close it is a restart of the agent. */
  open(more?: Partial<TrafficOptions> & { readonly platform?: NodeJS.Platform }): Promise<Traffic>;
  /** Lets time pass for the kernel and the agent, in steps of a tenth of a second. */
  advance(milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

export const createFakeHost = (): FakeHost => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-traffic-'));
  const kernel = createFakeKernel();
  const clock = createManualClock(Date.UTC(2026, 0, 1) + 1_000);
  const warnings = new Map<string, string>();
  const opened: Traffic[] = [];
  return {
    directory,
    kernel,
    clock,
    warnings,
    open: async (more = {}) => {
      const { platform = 'linux', ...options } = more;
      const mode = options.mode ?? 'auto';
      const loadAddon = () => kernel.addon;
      const traffic = createTraffic({
        mode,
        interfaces: ['lan0', 'wan0'],
        stateDir: directory,
        denyListDir: join(directory, 'deny-lists'),
        engine: createEngine({ mode, objectPath: 'x', pinPath: 'x', loadAddon, platform, bootId: async () => 'boot' }),
        clock,
        log: silentLogger,
        raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
        virtualFunctionsOf: async (name) => (name === 'wan0' ? { enabled: 2, total: 8 } : null),
        listInterfaces: async () =>
          [...kernel.interfaces].map(([name, index]) => ({
            name,
            index,
            isUp: true,
            isLoopback: name === 'lo',
            isVlan: name.includes('.'),
          })),
        ...options,
      });
      opened.push(traffic);
      await traffic.start(new AbortController().signal);
      return traffic;
    },
    advance: async (milliseconds) => {
      for (let passed = 0; passed < milliseconds; passed += 100) {
        kernel.advance(100);
        clock.advance(100);
        for (let turn = 0; turn < 6; turn++) await setImmediate();
      }
    },
    close: async () => {
      for (const traffic of opened) await traffic.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
};

/** What tells one flow from another in a comparison. */
export const brief = ({ source, destinationPort, state, mapping, reason }: Flow): object => ({
  source,
  destinationPort,
  state,
  mapping,
  reason,
});
