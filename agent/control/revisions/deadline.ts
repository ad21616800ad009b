import { readFileSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';

/** Time that goes on while the agent does not run, as long as the host does not reboot. */
export interface BootClock {
  /** Names this run of the host; empty when the system does not tell. */
  readonly bootId: string;
  /** Milliseconds of the host's monotonic clock: one value for all processes. */
  uptimeMs(): number;
}

/** A moment in both times: monotonic within one run of the host, wall time across reboots. */
export interface Deadline {
  readonly wallMs: number;
  readonly bootId: string;
  readonly uptimeMs: number;
  /** How far ahead it was when it was set: no jump of the wall clock makes it longer than this. */
  readonly windowMs: number;
}

const bootIdPath = '/proc/sys/kernel/random/boot_id';

/** The host's own clock. */
export const systemBootClock = (): BootClock => ({ bootId: readBootId(), uptimeMs: () => Number(process.hrtime.bigint() / 1000n) / 1000 });

/** A deadline `windowMs` from now. */
export const deadlineAfter = (windowMs: number, clock: Clock, boot: BootClock): Deadline => ({
  wallMs: Math.round(clock.nowMs() + windowMs),
  bootId: boot.bootId,
  uptimeMs: boot.uptimeMs() + windowMs,
  windowMs,
});

/** Milliseconds left, 0 when it is over. */
export const remainingMs = (deadline: Deadline, clock: Clock, boot: BootClock): number => {
  const isSameBoot = boot.bootId !== '' && boot.bootId === deadline.bootId;
  const left = isSameBoot ? deadline.uptimeMs - boot.uptimeMs() : deadline.wallMs - clock.nowMs();
  return Math.max(0, Math.min(left, deadline.windowMs));
};

const readBootId = (): string => {
  try {
    return readFileSync(bootIdPath, 'utf8').trim();
  } catch {
    // Only Linux has it; elsewhere wall time decides.
    return '';
  }
};
