/** Where on a packet's way each reason is decided: one table for the packet path, held complete by the type and a test. */
import type { ReasonName } from '../../../proto/model/reason.ts';

export const pathStages = ['engine', 'deny', 'flow', 'judged', 'limit', 'balance', 'route'] as const;
export type PathStage = (typeof pathStages)[number];

const stages: Readonly<Record<ReasonName, PathStage>> = {
  UNSPECIFIED: 'engine',
  NO_POLICY: 'engine',
  ARP: 'engine',
  NEIGHBOR_DISCOVERY: 'engine',
  NOT_IP: 'engine',
  TRUNCATED: 'engine',
  MALFORMED: 'engine',
  TOO_MANY_TAGS: 'engine',
  TOO_MANY_HEADERS: 'engine',
  TABLE_MISSING: 'engine',
  DENY_LIST: 'deny',
  FLOW: 'flow',
  FLOW_RELATED: 'flow',
  FRAGMENT: 'flow',
  FRAGMENT_UNKNOWN: 'flow',
  POLICY_ALLOW: 'judged',
  DEFAULT_ALLOW: 'judged',
  POLICY_DENY: 'judged',
  DEFAULT_DENY: 'judged',
  RATE_LIMIT: 'limit',
  NO_BACKEND: 'balance',
  NAT_EXHAUSTED: 'balance',
  NOT_TRANSLATABLE: 'balance',
  NO_ROUTE: 'route',
  TOO_BIG: 'route',
};

/** The stage that decides a reason; 'engine' for a reason that a newer agent sends. */
export const stageOfReason = (reason: string): PathStage =>
  Object.hasOwn(stages, reason) ? stages[reason as keyof typeof stages] : 'engine';
