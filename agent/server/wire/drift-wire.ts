import { DriftMode as WireMode } from '../../../proto/gen/nest/v1/config.ts';
import type { DriftStatus as WireStatus, EditLease as WireLease } from '../../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { DriftMode, DriftStatus } from '../../control/drift/api.ts';
import type { EditLease } from '../../control/lease/api.ts';
import { wholeMs } from './revision-wire.ts';

/** Drift on the wire. */
export const toWireDrift = ({ mode, checkedAtMs, findings, healed }: DriftStatus): WireStatus => ({
  mode: mode === 'heal' ? WireMode.HEAL : WireMode.REPORT,
  checkedAtMs: wholeMs(checkedAtMs ?? 0),
  findings: findings.map(({ resource, message, sinceMs, canHeal }) => ({ resource, message, sinceMs: wholeMs(sinceMs), canHeal })),
  healed: BigInt(healed),
});

/** Raises INPUT_INVALID. */
export const fromWireMode = (mode: WireMode): DriftMode => {
  if (mode === WireMode.HEAL) return 'heal';
  if (mode === WireMode.REPORT) return 'report';
  throw new NestError('INPUT_INVALID', 'The mode is "report" or "heal". Use a console of a matching version.');
};

/** A lease on the wire. */
export const toWireLease = ({ leaseId, subject, device, sinceMs, expiresAtMs }: EditLease): WireLease => ({
  leaseId,
  subject,
  device,
  sinceMs: wholeMs(sinceMs),
  expiresAtMs: wholeMs(expiresAtMs),
});
