/** Where packets go on their way through the host; every number is a kernel counter's rate. */
import { ShieldAlert } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'react-router';
import type { HostCounters, HostSample } from '../../../bridge/model.ts';
import { reasonWord } from '../../../bridge/flow-grammar.ts';
import { useHostCountersQuery } from '../../client/bridge-api.ts';
import { flowsLink } from '../../client/links.ts';
import { useReadings } from '../../client/readings.ts';
import { useNow } from '../../client/shell.tsx';
import { formatAge, formatScaled } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { pathStagesOf } from './path-model.ts';
import type { PathDrop, PathStageView } from './path-model.ts';

interface PacketPathProps {
  readonly hostId: string;
  readonly sample: HostSample;
}

const countersPollMs = 2_000;
const dropsShown = 3;

export const PacketPath = ({ hostId, sample }: PacketPathProps) => {
  const [name, setName] = useState<string | null>(null);
  const { data } = useHostCountersQuery({ hostId }, { pollingInterval: countersPollMs, skipPollingIfUnfocused: true });
  const samples = useReadings(sample);
  const counters = useReadings(data);
  const stages = pathStagesOf({ samples, counters, interface: name });
  const served = sample.interfaces.filter(({ engine }) => engine !== null);
  return (
    <Card
      title="Packet path"
      testId="packet-path"
      aside={
        <>
          <FloodState path={data?.live === true ? data.path : undefined} />
          <span>every number is a kernel counter</span>
          <select
            className="input small"
            aria-label="Interface of the packet path"
            value={name ?? ''}
            onChange={(event) => setName(event.target.value === '' ? null : event.target.value)}
            data-testid="path-interface"
          >
            <option value="">all interfaces</option>
            {served.map((row) => (
              <option key={row.index} value={row.name}>
                {row.name}
              </option>
            ))}
          </select>
        </>
      }
    >
      <ol className="path">
        {stages.map((stage) => (
          <PathStageBox key={stage.id} hostId={hostId} stage={stage} />
        ))}
      </ol>
    </Card>
  );
};

const FloodState = ({ path }: { readonly path: HostCounters['path'] | undefined }) => {
  const now = useNow();
  if (path?.floodMode !== true) return null;
  return (
    <span
      className="chip crit"
      data-testid="flood-mode"
      title="Many packets belong to no flow: deny lists are asked before the flow table."
    >
      <ShieldAlert size={12} aria-hidden="true" />
      flood mode{path.floodSince === null ? '' : ` for ${formatAge(now - path.floodSince)}`}
    </span>
  );
};

const PathStageBox = ({ hostId, stage }: { readonly hostId: string; readonly stage: PathStageView }) => {
  const isHot = stage.isDropping && (stage.perSecond ?? 0) > 0;
  const { id, title, perSecond, unit, note, drops } = stage;
  return (
    <li className="path-stage" data-testid={`path-${id}`}>
      <div className="dim cut">{title}</div>
      <div className={isHot ? 'value crit' : 'value'}>{perSecond === null ? '–' : `${formatScaled(perSecond)}/s`}</div>
      <div className="note">
        {unit}
        {note === '' ? null : <div>{note}</div>}
        {drops.slice(0, dropsShown).map((drop) => (
          <DropLine key={drop.reason} hostId={hostId} drop={drop} isReason={id !== 'nic'} />
        ))}
        {drops.length > dropsShown ? <div className="crit">{`and ${String(drops.length - dropsShown)} more`}</div> : null}
      </div>
    </li>
  );
};

const DropLine = ({ hostId, drop, isReason }: { readonly hostId: string; readonly drop: PathDrop; readonly isReason: boolean }) => (
  <div className="crit">
    {isReason ? (
      <Link className="crit" to={flowsLink(hostId, { reason: reasonWord(drop.reason) })}>
        {reasonWord(drop.reason).replaceAll('-', ' ')}
      </Link>
    ) : (
      drop.reason
    )}{' '}
    {formatScaled(drop.perSecond)}
  </div>
);
