/** Where packets go on their way through the host; every number is a kernel counter's rate. */
import { ChevronRight } from 'lucide-react';
import { Fragment } from 'react';
import type { ReactNode } from 'react';
import type { HostSample } from '../../../bridge/model.ts';
import { formatScaled, formatShare } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

interface Stage {
  readonly title: string;
  readonly perSecond: number | null;
  readonly note: ReactNode;
  readonly isDenied?: boolean;
}

/** Reasons that say a packet was judged by the policy tables. */
const judged: ReadonlySet<string> = new Set(['POLICY_ALLOW', 'POLICY_DENY', 'DEFAULT_ALLOW', 'DEFAULT_DENY']);
const reasonsShown = 2;

const rateOf = (sample: HostSample, isWanted: (reason: string) => boolean): number | null => {
  const rates = sample.reasons.filter(({ reason, perSecond }) => isWanted(reason) && perSecond !== null);
  return sample.allowedPerSecond === null ? null : rates.reduce((sum, { perSecond }) => sum + (perSecond ?? 0), 0);
};

/** "FLOW" as "flow", "POLICY_DENY" as "policy deny". */
export const reasonWords = (reason: string): string => reason.toLowerCase().replaceAll('_', ' ');

const stagesOf = (sample: HostSample): readonly Stage[] => {
  const { allowedPerSecond: allowed, deniedPerSecond: denied } = sample;
  const received = allowed === null || denied === null ? null : allowed + denied;
  const hits = rateOf(sample, (reason) => reason === 'FLOW');
  const modes = [...new Set(sample.interfaces.flatMap(({ xdpMode }) => (xdpMode === null ? [] : [xdpMode])))].join(', ');
  const drops = sample.reasons
    .filter(({ dropped, perSecond }) => dropped && (perSecond ?? 0) > 0)
    .sort((left, right) => (right.perSecond ?? 0) - (left.perSecond ?? 0));
  return [
    { title: 'In', perSecond: received, note: modes === '' ? 'no engine' : `XDP ${modes}` },
    { title: 'Flow hit', perSecond: hits, note: received === null || hits === null || received === 0 ? '–' : formatShare(hits / received) },
    { title: 'Policy', perSecond: rateOf(sample, (reason) => judged.has(reason)), note: sample.policy.mode },
    {
      title: 'Denied',
      perSecond: denied,
      isDenied: (denied ?? 0) > 0,
      note:
        drops.length === 0
          ? 'nothing now'
          : drops.slice(0, reasonsShown).map(({ reason, perSecond }) => (
              <div key={reason} className="crit">
                {reasonWords(reason)} {formatScaled(perSecond)}
              </div>
            )),
    },
    {
      title: 'Out',
      perSecond: allowed,
      note: received === null || allowed === null || received === 0 ? '–' : formatShare(allowed / received),
    },
  ];
};

export const PacketPath = ({ sample }: { readonly sample: HostSample }) => (
  <Card title="Packet path" aside="every number is a kernel counter" testId="packet-path">
    <div className="path">
      {stagesOf(sample).map((stage, index) => (
        <Fragment key={stage.title}>
          {index === 0 ? null : <ChevronRight className="path-arrow" size={16} aria-hidden="true" />}
          <div className="path-stage">
            <div className="dim">{stage.title}</div>
            <div className={stage.isDenied === true ? 'value crit' : 'value'}>
              {stage.perSecond === null ? '–' : `${formatScaled(stage.perSecond)}/s`}
            </div>
            <div className="note">{stage.note}</div>
          </div>
        </Fragment>
      ))}
    </div>
  </Card>
);
