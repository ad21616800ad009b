/** How a host is, and one sentence why, with the next step. */
import { statusHeartbeatMs } from '../../../proto/model/limits.ts';
import type { HostState } from '../../bridge/model.ts';
import type { LinkState } from '../../grpc/api.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';
import type { Reading } from './reading.ts';

/** A status older than this is not news any more; a host where nothing happens is heard of at every heartbeat. */
export const statusStaleMs = statusHeartbeatMs + 2_000;
const clockSkewMaxMs = 30_000;
const certificateWarningMs = 30 * 86_400_000;
const diskFullShare = 0.95;

export interface HealthInput {
  readonly record: HostRecord;
  /** Null while the fleet is locked: nothing is connected then. */
  readonly link: LinkState | null;
  readonly reading: Reading | null;
  readonly now: number;
  /** By the clock that never jumps, milliseconds: since the connection is up, and since the last status over it (null = none yet). */
  readonly upMs: number;
  readonly silentMs: number | null;
  /** What the audit log of the host is accused of; null = nothing. */
  readonly auditAlarm: string | null;
}

export interface Health {
  readonly state: HostState;
  readonly reason: string | null;
}

/** Judges a host by its connection first, then by what it says. */
export const healthOf = (input: HealthInput): Health => {
  const { record, link, reading, upMs, silentMs } = input;
  if (link === null) return { state: 'offline', reason: 'The fleet is locked. Unlock it to connect.' };
  if (link.kind === 'connecting') return { state: 'connecting', reason: null };
  if (link.kind === 'down') return { state: 'offline', reason: downReason(record, link) };
  if (reading === null || silentMs === null) {
    return upMs < statusStaleMs
      ? { state: 'connecting', reason: null }
      : { state: 'degraded', reason: 'The agent answers but sends no status. Look into its log.' };
  }
  if (silentMs > statusStaleMs) {
    return {
      state: 'offline',
      reason: `No status for ${String(Math.round(silentMs / 1000))} s. Check the network to ${record.address}, or wait for the host to take an unconfirmed policy back.`,
    };
  }
  const trouble = troubleOf(input, reading, link);
  return trouble === null ? { state: 'healthy', reason: null } : { state: 'degraded', reason: trouble };
};

const downReason = ({ address, port }: HostRecord, { error }: LinkState & { readonly kind: 'down' }): string => {
  if (error.code === 'HOST_UNREACHABLE' || error.code === 'TIMED_OUT') {
    return `Does not answer at ${address} port ${String(port)}. Check that the host is up, that its agent runs and that no policy or firewall blocks the port.`;
  }
  return error.message;
};

const troubleOf = (
  { record, now, auditAlarm }: HealthInput,
  reading: Reading,
  link: LinkState & { readonly kind: 'up' },
): string | null => {
  if (auditAlarm !== null) return auditAlarm;
  const warning = reading.warnings.find(({ severity }) => severity === 'critical') ?? reading.warnings[0];
  if (warning !== undefined) return warning.message === '' ? warning.title : warning.message;
  const unprotected = reading.interfaces.find(({ xdpProblem }) => xdpProblem !== null);
  if (unprotected !== undefined && reading.policy.mode === 'observe') return `It only observes. ${unprotected.xdpProblem ?? ''}`;
  if (unprotected !== undefined) return `${unprotected.name} is not protected: ${unprotected.xdpProblem ?? ''}`;
  const { generation, desiredGeneration, mode } = reading.policy;
  if (mode === 'enforce' && desiredGeneration !== '' && generation !== desiredGeneration)
    return 'The kernel runs another policy than the agent wants. Look into the log of the agent, then apply the policy again.';
  if (Math.abs(link.clockSkewMs) > clockSkewMaxMs)
    return `Its clock is ${String(Math.round(Math.abs(link.clockSkewMs) / 1000))} s ${link.clockSkewMs > 0 ? 'ahead of' : 'behind'} this machine. Set up time synchronisation on both.`;
  const full = reading.disks.find(({ totalBytes, usedBytes }) => totalBytes > 0 && usedBytes / totalBytes > diskFullShare);
  if (full !== undefined) return `The disk at ${full.mountPoint} is nearly full. Free some space on the host.`;
  const leftMs = record.certificateEndsAt - now;
  if (leftMs < certificateWarningMs)
    return `Its certificate ends in ${String(Math.max(0, Math.floor(leftMs / 86_400_000)))} days. Connect it to a console that may issue certificates; that renews it by itself.`;
  return null;
};

/** How packets are enforced there, for a table cell; null when not known. */
export const engineOf = (reading: Reading | null): string | null => {
  if (reading === null) return null;
  if (reading.policy.mode === 'observe') return 'observe';
  const modes = new Set(reading.interfaces.flatMap(({ xdpMode }) => (xdpMode === null ? [] : [xdpMode])));
  if (modes.size === 0) return null;
  return modes.size > 1 ? 'xdp mixed' : `xdp ${[...modes].join('')}`;
};
