import type { HealthWarning } from '../domains/host/api.ts';

export interface HealthReport {
  /** Why the agent is not healthy; empty when it is. */
  readonly reasons: readonly { readonly code: string; readonly message: string }[];
}

/** Critical conditions make the agent unhealthy; warnings are for the console. */
export const healthOf = (warnings: readonly HealthWarning[]): HealthReport => ({
  reasons: warnings
    .filter(({ severity }) => severity === 'critical')
    .map(({ code, title, message }) => ({ code, message: `${title}: ${message}` })),
});
