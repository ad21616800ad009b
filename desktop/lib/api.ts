/**
 * Small building blocks of the console without a domain: time, identifiers, bounded concurrency, latest-value streams and
 * owned background tasks. Every folder under desktop may use it; it never opens a socket, a process or a file (the built page of
 * page-folder.ts apart, which the hosts of the page import by its own name) and keeps no
 * state of its own.
 */
export { backoffDelayMs } from './backoff.ts';
export type { BackoffLimits } from './backoff.ts';
export { cancelled, isCancelled, systemClock, throwIfCancelled, withGrace, withTimeout } from './clock.ts';
export type { Clock } from './clock.ts';
export { createGate, mapConcurrently } from './gate.ts';
export type { Gate } from './gate.ts';
export { createLatest, followAny } from './latest.ts';
export type { Latest } from './latest.ts';
export { createTaskGroup } from './task-group.ts';
export type { TaskGroup } from './task-group.ts';
export { isUlid, ulidOf } from './ulid.ts';
export { systemRandom } from './random.ts';
export type { RandomBytes } from './random.ts';
