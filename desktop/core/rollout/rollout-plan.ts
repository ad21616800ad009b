/** From what an operator asks for to a plan that can be signed: who is in which wave, and how much may go wrong. Pure. */
import { NestError } from '../../../proto/model/error.ts';
import { baselineSeconds, rolloutHostsMax, rolloutLifeMs, rolloutWavesMax, soakSeconds } from '../../../proto/model/rollout.ts';
import type { RolloutGates, RolloutPlan } from '../../../proto/model/rollout.ts';

export interface RolloutRequest {
  readonly name: string;
  readonly policy: string;
  readonly hostIds: readonly string[];
  /** Shares of the hosts after each wave, percent, rising; the last is 100. By default one host, then 5, 25 and 100 %. */
  readonly waves?: readonly number[] | undefined;
  /** By default a tenth of the hosts, at least one. */
  readonly maxUnavailable?: number | undefined;
  readonly failuresMax?: number | undefined;
  readonly soakSeconds?: number | undefined;
  readonly baselineSeconds?: number | undefined;
  readonly gates?: { readonly [Gate in keyof RolloutGates]?: RolloutGates[Gate] | undefined } | undefined;
  readonly rollback?: 'wave' | 'all' | undefined;
  readonly offline?: 'skip' | 'intent' | undefined;
}

export const defaultGates: RolloutGates = {
  dropFactor: 2,
  dropFloorPps: 10,
  flowFailureFactor: 2,
  flowFailureFloorPps: 1,
  health: true,
  drift: true,
};
const defaultShares = [0, 5, 25, 100];

/** Hosts by wave: each share counts what all waves up to it hold, at least one host more than before; 0 is one host. Raises INPUT_INVALID. */
export const wavesOf = (hostIds: readonly string[], shares: readonly number[] = defaultShares): readonly (readonly string[])[] => {
  const isRising = shares.every((share, index) => share >= 0 && share <= 100 && (index === 0 || share > (shares[index - 1] ?? 0)));
  if (!isRising || shares.at(-1) !== 100 || shares.length > rolloutWavesMax)
    throw new NestError(
      'INPUT_INVALID',
      `Waves are at most ${String(rolloutWavesMax)} rising percentages that end with 100, for instance 5, 25, 100.`,
    );
  const waves: (readonly string[])[] = [];
  let taken = 0;
  for (const share of shares) {
    const until = Math.min(hostIds.length, Math.max(taken + 1, Math.floor((hostIds.length * share) / 100)));
    if (until > taken) waves.push(hostIds.slice(taken, until));
    taken = until;
  }
  return waves;
};

/** Raises INPUT_INVALID. */
export const planOf = (
  request: RolloutRequest,
  by: { readonly rolloutId: string; readonly fleetId: string; readonly now: number },
): RolloutPlan => {
  const hostIds = [...new Set(request.hostIds)];
  if (hostIds.length === 0 || hostIds.length > rolloutHostsMax)
    throw new NestError('INPUT_INVALID', `A rollout is for 1 to ${String(rolloutHostsMax)} hosts.`);
  const gates = Object.fromEntries(Object.entries(request.gates ?? {}).filter(([, value]) => value !== undefined));
  const maxUnavailable = request.maxUnavailable ?? Math.max(1, Math.floor(hostIds.length / 10));
  const failuresMax = request.failuresMax ?? 0;
  if (failuresMax >= maxUnavailable && failuresMax > 0)
    throw new NestError('INPUT_INVALID', 'Failed hosts count as unavailable: allow fewer failures than hosts that may be unavailable.');
  return {
    rolloutId: by.rolloutId,
    fleetId: by.fleetId,
    name: request.name,
    policy: request.policy,
    createdAtMs: Math.round(by.now),
    notAfterMs: Math.round(by.now) + rolloutLifeMs,
    waves: wavesOf(hostIds, request.waves).map((wave) => [...wave]),
    maxUnavailable,
    failuresMax,
    soakSeconds: request.soakSeconds ?? soakSeconds.default,
    baselineSeconds: request.baselineSeconds ?? baselineSeconds.default,
    gates: { ...defaultGates, ...gates },
    rollback: request.rollback ?? 'wave',
    offline: request.offline ?? 'skip',
  };
};
