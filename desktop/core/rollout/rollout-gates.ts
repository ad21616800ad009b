/** Judges one host by the counters of its own data path, against what they were before the change. Pure. */
import type { ReasonName } from '../../../proto/model/reason.ts';
import type { RolloutGates, RolloutHostRecord } from '../../../proto/model/rollout.ts';
import type { RolloutGate } from '../../bridge/rollout-model.ts';

/** What a host's newest status says. */
export interface HostView {
  /** Dropped packets since the data path exists, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  readonly criticalWarnings: readonly string[];
  /** The kernel runs another policy than the agent wants. */
  readonly isDrifting: boolean;
  readonly pendingTransactionId: string;
  readonly pendingRemainingMs: number;
}

/** Counters of one moment. */
export interface Sample {
  readonly monotonicMs: number;
  readonly drops: Readonly<Record<string, number>>;
}

/** Drops that say: a flow the policy allows could not go on. */
const flowFailureReasons: ReadonlySet<string> = new Set<ReasonName>([
  'NO_BACKEND',
  'NAT_EXHAUSTED',
  'NOT_TRANSLATABLE',
  'NO_ROUTE',
  'TOO_BIG',
  'FRAGMENT_UNKNOWN',
]);

/** Packets per second by reason over the samples of the last `windowMs`; null when they cover too little or counters went back. */
export const ratesOf = (samples: readonly Sample[], windowMs: number): Readonly<Record<string, number>> | null => {
  const newest = samples.at(-1);
  const oldest = newest === undefined ? undefined : samples.find(({ monotonicMs }) => monotonicMs >= newest.monotonicMs - windowMs);
  if (newest === undefined || oldest === undefined || newest.monotonicMs <= oldest.monotonicMs) return null;
  const seconds = (newest.monotonicMs - oldest.monotonicMs) / 1000;
  const rates: Record<string, number> = {};
  for (const [reason, packets] of Object.entries(newest.drops)) {
    const counted = packets - (oldest.drops[reason] ?? 0);
    if (counted < 0) return null;
    rates[reason] = counted / seconds;
  }
  return rates;
};

/** The worst drop reason, the flow failures, health and drift, each with its figures. */
export const judgeHost = (
  limits: RolloutGates,
  host: {
    readonly baseline: RolloutHostRecord['baseline'];
    readonly view: HostView | null;
    readonly rates: Readonly<Record<string, number>> | null;
  },
): readonly RolloutGate[] => [
  dropGate(limits, host),
  flowGate(limits, host),
  ...(limits.health ? [healthGate(host)] : []),
  ...(limits.drift ? [driftGate(host.view)] : []),
];

type Judged = Parameters<typeof judgeHost>[1];

const dropGate = ({ dropFactor, dropFloorPps }: RolloutGates, { baseline, rates }: Judged): RolloutGate => {
  const figures = Object.entries(rates ?? {})
    .filter(([reason]) => !flowFailureReasons.has(reason))
    .map(([reason, figure]) =>
      rateGate({ gate: 'drop-rate', subject: reason }, { figure, baseline: baseline?.drops[reason] ?? 0 }, [dropFactor, dropFloorPps]),
    )
    .sort((a, b) => excessOf(b) - excessOf(a));
  const [worst] = figures;
  return (
    worst ?? rateGate({ gate: 'drop-rate', subject: '' }, { figure: rates === null ? null : 0, baseline: 0 }, [dropFactor, dropFloorPps])
  );
};

const flowGate = ({ flowFailureFactor, flowFailureFloorPps }: RolloutGates, { baseline, rates }: Judged): RolloutGate => {
  const sum = (by: Readonly<Record<string, number>>): number =>
    Object.entries(by).reduce((total, [reason, rate]) => total + (flowFailureReasons.has(reason) ? rate : 0), 0);
  const figures = { figure: rates === null ? null : sum(rates), baseline: sum(baseline?.drops ?? {}) };
  return rateGate({ gate: 'flow-failures', subject: '' }, figures, [flowFailureFactor, flowFailureFloorPps]);
};

const rateGate = (
  named: Pick<RolloutGate, 'gate' | 'subject'>,
  { figure, baseline }: { readonly figure: number | null; readonly baseline: number },
  [factor, floor]: readonly [number, number],
): RolloutGate => {
  const threshold = baseline * factor + floor;
  return { ...named, figure, baseline, threshold, verdict: figure === null ? 'unknown' : figure > threshold ? 'breached' : 'passed' };
};

const excessOf = ({ figure, threshold }: RolloutGate): number => (figure ?? 0) - (threshold ?? 0);

const healthGate = ({ baseline, view }: Judged): RolloutGate => {
  const fresh = view?.criticalWarnings.find((code) => baseline?.warnings.includes(code) !== true);
  const figure = view === null ? null : Number(fresh !== undefined);
  return { gate: 'health', subject: fresh ?? '', figure, baseline: 0, threshold: 0, verdict: verdictOf(figure) };
};

const driftGate = (view: HostView | null): RolloutGate => {
  const figure = view === null ? null : Number(view.isDrifting);
  return { gate: 'drift', subject: '', figure, baseline: 0, threshold: 0, verdict: verdictOf(figure) };
};

const verdictOf = (figure: number | null): RolloutGate['verdict'] => (figure === null ? 'unknown' : figure > 0 ? 'breached' : 'passed');

/** One sentence for a gate that stops a rollout. */
export const breachText = (hostName: string, { gate, subject, figure, baseline, threshold }: RolloutGate): string => {
  const numbers = `${shown(figure)} packets/s, ${shown(baseline)} before, at most ${shown(threshold)}`;
  const texts: Readonly<Record<RolloutGate['gate'], string>> = {
    'drop-rate': `${hostName} drops more packets for ${subject}: ${numbers}.`,
    'flow-failures': `${hostName} fails allowed flows: ${numbers}.`,
    health: `${hostName} raises ${subject} since the change.`,
    drift: `The kernel of ${hostName} runs another policy than its agent wants.`,
  };
  return texts[gate];
};

const shown = (rate: number | null): string => (rate === null ? '?' : String(Math.round(rate * 10) / 10));
