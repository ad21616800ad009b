import type { HealthChange } from './event-syslog.ts';

/** Conditions compared at most; more are left out until others end. */
const conditionsMax = 256;

export interface HealthCondition {
  readonly code: string;
  readonly title: string;
  readonly message: string;
  readonly severity: 'warning' | 'critical';
}

/** Turns what holds now into what changed. */
export interface HealthChanges {
  next(conditions: readonly HealthCondition[]): readonly HealthChange[];
}

/** Nothing holds yet. A condition is known by its code; another text or severity is told as a change. */
export const createHealthChanges = (): HealthChanges => {
  let known = new Map<string, HealthCondition>();
  return {
    next: (conditions) => {
      const now = new Map(conditions.slice(0, conditionsMax).map((condition) => [condition.code, condition]));
      const ended = [...known.values()].filter(({ code }) => !now.has(code));
      const begun = [...now.values()].filter((condition) => !isSame(known.get(condition.code), condition));
      known = now;
      return [
        ...ended.map((condition) => ({ ...condition, isOver: true })),
        ...begun.map((condition) => ({ ...condition, isOver: false })),
      ];
    },
  };
};

const isSame = (a: HealthCondition | undefined, b: HealthCondition): boolean =>
  a !== undefined && a.title === b.title && a.message === b.message && a.severity === b.severity;
