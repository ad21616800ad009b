/** The stages of the packet path with what each one did a second, from readings of kernel counters. */
import type { HostCounters, HostSample } from '../../../bridge/model.ts';
import type { PathStage } from '../../client/path-stages.ts';
import { stageOfReason } from '../../client/path-stages.ts';
import { ratePerSecond } from '../../client/readings.ts';
import { formatScaled, formatShare } from '../../client/units.ts';

export interface PathDrop {
  /** Of proto/nest/v1/reason.proto, or what the interface itself lost. */
  readonly reason: string;
  readonly perSecond: number;
}

export interface PathStageView {
  readonly id: PathStage | 'nic' | 'out';
  readonly title: string;
  readonly perSecond: number | null;
  /** What the number counts. */
  readonly unit: string;
  readonly note: string;
  readonly drops: readonly PathDrop[];
  /** The number itself counts drops. */
  readonly isDropping: boolean;
}

interface ReasonRate {
  readonly reason: string;
  readonly dropped: boolean;
  readonly perSecond: number | null;
}

export interface PathReadings {
  readonly samples: readonly HostSample[];
  readonly counters: readonly HostCounters[];
  /** Name of one interface, null = all. */
  readonly interface: string | null;
}

/** Rates by reason: of all interfaces as the core derives them, of one from its own counters. */
const reasonRates = ({ samples, counters, interface: name }: PathReadings): readonly ReasonRate[] => {
  if (name === null) return samples.at(-1)?.reasons ?? [];
  const reasonsOf = (reading: HostCounters | undefined) => reading?.interfaces.find((entry) => entry.name === name)?.reasons ?? [];
  return reasonsOf(counters.at(-1)).map(({ reason, dropped }) => ({
    reason,
    dropped,
    perSecond: ratePerSecond(counters, (reading) => reasonsOf(reading).find((entry) => entry.reason === reason)?.packets ?? 0),
  }));
};

const linksOf = (sample: HostSample, name: string | null) =>
  sample.interfaces.filter((row) => (name === null ? row.engine !== null : row.name === name));

const sumOf = (rates: readonly ReasonRate[], isWanted: (rate: ReasonRate) => boolean): number | null => {
  const known = rates.filter((rate) => rate.perSecond !== null);
  return known.length === 0 ? null : known.filter(isWanted).reduce((sum, { perSecond }) => sum + (perSecond ?? 0), 0);
};

const shareNote = (part: number | null, whole: number | null, words: string): string =>
  part === null || whole === null || whole === 0 ? '' : `${formatShare(part / whole)} ${words}`;

/** What the data path counts about ways beside its reasons; null for one interface, of which it counts reasons alone. */
const pathRates = ({ counters, interface: name }: PathReadings, rates: readonly ReasonRate[]) => {
  if (name !== null) return { judged: sumOf(rates, ({ reason }) => stageOfReason(reason) === 'judged'), forwarded: null, routed: null };
  return {
    judged: ratePerSecond(counters, ({ path }) => path.judged),
    forwarded: ratePerSecond(counters, ({ path }) => path.forwarded),
    routed: ratePerSecond(counters, ({ path }) => path.routedByKernel),
  };
};

type PartialView = Partial<PathStageView> & Pick<PathStageView, 'id' | 'title' | 'perSecond' | 'unit'>;

const stageOf = (view: PartialView): PathStageView => ({ note: '', drops: [], isDropping: false, ...view });

/** Up to the engine: what interfaces count. */
const wireStages = ({ samples, interface: name }: PathReadings, seen: number | null): readonly PathStageView[] => {
  const sum = (read: (count: HostSample['interfaces'][number]['received']) => number): number | null =>
    ratePerSecond(samples, (reading) => linksOf(reading, name).reduce((total, { received }) => total + read(received), 0));
  const lost = sum(({ drops }) => drops) ?? 0;
  const sample = samples.at(-1);
  const links = sample === undefined ? [] : linksOf(sample, name);
  const engines = [...new Set(links.flatMap(({ engine }) => (engine === null ? [] : [engine])))];
  return [
    stageOf({
      id: 'nic',
      title: 'NIC',
      perSecond: sum(({ packets }) => packets),
      unit: 'received',
      drops: lost > 0 ? [{ reason: 'lost by the interface', perSecond: lost }] : [],
    }),
    stageOf({
      id: 'engine',
      title: 'Engine',
      perSecond: seen,
      unit: 'seen',
      note: engines.length === 0 ? 'none attached' : engines.join(', '),
    }),
  ];
};

/** From the wire to the way out. A number is null until two readings exist; nothing is estimated. */
export const pathStagesOf = (readings: PathReadings): readonly PathStageView[] => {
  const rates = reasonRates(readings);
  const isFlood = readings.counters.at(-1)?.path.floodMode === true;
  const isObserving = readings.samples.at(-1)?.policy.mode === 'observe';
  const { judged, forwarded, routed } = pathRates(readings, rates);
  const seen = sumOf(rates, () => true);
  const passed = sumOf(rates, ({ dropped }) => !dropped);
  const known = sumOf(rates, ({ reason, dropped }) => stageOfReason(reason) === 'flow' && !dropped);
  const dropsOf = (stage: PathStage): readonly PathDrop[] =>
    rates
      .filter(({ reason, dropped, perSecond }) => dropped && (perSecond ?? 0) > 0 && stageOfReason(reason) === stage)
      .map(({ reason, perSecond }) => ({ reason, perSecond: perSecond ?? 0 }))
      .sort((left, right) => right.perSecond - left.perSecond);
  const dropping = (id: 'deny' | 'limit', title: string, words: Pick<PathStageView, 'unit' | 'note'>): PathStageView => {
    const perSecond = sumOf(rates, ({ reason, dropped }) => dropped && stageOfReason(reason) === id);
    return stageOf({ id, title, perSecond, isDropping: true, ...words });
  };
  const deciding = (id: PathStage, view: Omit<PartialView, 'id'>): PathStageView => stageOf({ ...view, id, drops: dropsOf(id) });
  const deny = dropping('deny', 'Deny list', { unit: 'dropped', note: isFlood ? 'asked first: flood mode' : '' });
  const flow = deciding('flow', { title: 'Flow table', perSecond: known, unit: 'known', note: shareNote(known, seen, 'of all') });
  const rewritten = forwarded === null || routed === null ? null : forwarded + routed;
  const byKernel = routed === null || routed === 0 ? '' : `${formatScaled(routed)}/s by the kernel`;
  return [
    ...wireStages(readings, seen).map((stage) => (stage.id === 'engine' ? { ...stage, drops: dropsOf('engine') } : stage)),
    ...(isFlood ? [deny, flow] : [flow, deny]),
    deciding('judged', { title: 'Judged', perSecond: judged, unit: 'by policy', note: isObserving ? 'observes only' : '' }),
    dropping('limit', 'Rate limit', { unit: 'over', note: '' }),
    deciding('balance', { title: 'Balance', perSecond: rewritten, unit: 'rewritten' }),
    deciding('route', { title: 'Route', perSecond: forwarded, unit: 'forwarded', note: byKernel }),
    stageOf({ id: 'out', title: 'Out', perSecond: passed, unit: 'let out', note: shareNote(passed, seen, 'of all') }),
  ];
};
