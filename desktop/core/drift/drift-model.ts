import { DriftMode as WireMode } from '../../../proto/gen/nest/v1/config.ts';
import type { DriftStatus } from '../../../proto/gen/nest/v1/config.ts';
import type { HostDrift } from '../../bridge/change-model.ts';

/** Drift as the bridge carries it. */
export const driftOf = ({ mode, checkedAtMs, findings, healed }: DriftStatus): HostDrift => ({
  mode: mode === WireMode.HEAL ? 'heal' : 'report',
  checkedAt: checkedAtMs === 0n ? null : Number(checkedAtMs),
  findings: findings.map(({ resource, message, sinceMs, canHeal }) => ({ resource, message, since: Number(sinceMs), canHeal })),
  healed: Number(healed),
});
