/** The agent as it ships, observing only: every part is wired by its own composition root, and the test holds its clock. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../../agent/config/load.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import type { Clock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { startSystem } from '../../agent/system.ts';
import type { System } from '../../agent/system.ts';

export interface AbusedAgent extends AsyncDisposable {
  readonly system: System;
  readonly stateDir: string;
  /** Of the wall clock, beside the real one, milliseconds. */
  skewMs: number;
  /** How much later it is by the monotonic clock, milliseconds. */
  laterMs: number;
  /** Opens the enrolment as "nest-agent join" on the host does; its port. */
  join(token: { readonly text: string }): Promise<number>;
}

/** On loopback, in a folder of its own, without a fleet. */
export const startAbusedAgent = async (): Promise<AbusedAgent> => {
  const folder = await mkdtemp(join(tmpdir(), 'nest-abuse-'));
  const stateDir = join(folder, 'state');
  const moved = { skewMs: 0, laterMs: 0 };
  const clock: Clock = {
    ...systemClock,
    nowMs: () => Date.now() + moved.skewMs,
    monotonicMs: () => performance.now() + moved.laterMs,
  };
  const listen = { address: '127.0.0.1', port: 0 };
  const traffic = { mode: 'observe', interfaces: ['lo'], pinPath: join(folder, 'pins') };
  const config = parseConfig({ name: 'edge-1', stateDir, listen, metrics: listen, traffic }, { environment: {}, verbosity: 0 });
  const system = await startSystem({ config, logger: silentLogger, clock }, new AbortController().signal);
  return {
    system,
    stateDir,
    get skewMs() {
      return moved.skewMs;
    },
    set skewMs(value) {
      moved.skewMs = value;
    },
    get laterMs() {
      return moved.laterMs;
    },
    set laterMs(value) {
      moved.laterMs = value;
    },
    join: async ({ text }) => {
      await system.auditLocal('enrollment.join', () => system.identity.openEnrollment(text));
      await system.server.settled();
      return system.server.grpcPort ?? -1;
    },
    [Symbol.asyncDispose]: async () => {
      await system[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
