/** Groups of hosts as they cross the bridge. Times: milliseconds since the Unix epoch. */
import { z } from 'zod/mini';
import type { DiffLine } from './model.ts';

/** Lower case, so that two groups never differ by case alone; what may stand in a query without quotes. */
export const groupName = z
  .string()
  .check(
    z.regex(
      /^[a-z0-9][a-z0-9._-]{0,62}$/,
      'a group is written with lower-case letters, digits, dots, dashes and underscores, up to 63, a letter or digit first',
    ),
  );

export const groupInput = z.strictObject({
  name: groupName,
  /** As it is when absent. */
  about: z.optional(z.string().check(z.maxLength(200))),
  members: z.union([
    z.strictObject({ rule: z.string().check(z.maxLength(2000)) }),
    z.strictObject({ hostIds: z.array(z.string().check(z.maxLength(26))).check(z.maxLength(5000)) }),
  ]),
});

export interface HostGroup {
  readonly name: string;
  readonly about: string;
  /** What its hosts have in common, as text of the host grammar; null for a list of hosts. */
  readonly rule: string | null;
  /** Hosts that are in it now, by name. */
  readonly hostIds: readonly string[];
  /** Hosts of the list that left the fleet. */
  readonly missing: number;
  /** Why the rule has no members; null when it is understood. */
  readonly problem: string | null;
  readonly changedAt: number;
}

/** What a policy would do to one member. 'same': its document stays as it is. 'away': it does not answer. */
export interface GroupPlanHost {
  readonly hostId: string;
  readonly hostName: string;
  readonly outcome: 'changes' | 'same' | 'refused' | 'away';
  readonly code: string | null;
  readonly reason: string | null;
}

/** A dry run on every member of a group, as one answer: the plan itself can be applied by its id until it expires. */
export interface GroupPlan {
  readonly group: string;
  readonly planId: string;
  readonly expiresAt: number;
  /** How many members there are of each outcome. */
  readonly outcomes: Readonly<Record<GroupPlanHost['outcome'], number>>;
  readonly hosts: readonly GroupPlanHost[];
  /** Hosts with the same difference stand together, the largest part first; `rest`: differences left out. */
  readonly differences: readonly { readonly hostNames: readonly string[]; readonly diff: readonly DiffLine[] }[];
  readonly rest: number;
  /** Problems of the policy, said once with the hosts that found them. */
  readonly problems: readonly {
    readonly code: string;
    readonly severity: 'error' | 'warning';
    readonly path: string;
    readonly message: string;
    readonly hostNames: readonly string[];
  }[];
  /** Hosts that this console would no longer reach. */
  readonly cutOff: readonly string[];
  /** Hosts that have replayed flows: the figures are their sums. */
  readonly measured: number;
  readonly replayed: number;
  readonly unchanged: number;
  readonly cut: number;
  readonly cutLive: number;
  readonly newlyAllowed: number;
}
