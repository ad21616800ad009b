/** Mappings with a rate limit: what is allowed, what they use now, and what went over it. */
import { Gauge } from 'lucide-react';
import { Link } from 'react-router';
import type { HostCounters } from '../../../bridge/model.ts';
import { useHostCountersQuery } from '../../client/bridge-api.ts';
import { flowsLink, mappingLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { ratePerSecond, useReadings } from '../../client/readings.ts';
import { useNow } from '../../client/shell.tsx';
import { countOf, formatAge, formatBytes, formatCount, formatScaled } from '../../client/units.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { UseBar } from '../../widgets/use-bar.tsx';

const countersPollMs = 2_000;

type MappingCount = HostCounters['mappings'][number];
type Limit = NonNullable<MappingCount['limit']>;
interface LimitedMapping extends MappingCount {
  readonly limit: Limit;
}

const isLimited = (mapping: MappingCount): mapping is LimitedMapping => mapping.limit !== null;
const isSameRevision = (before: HostCounters, after: HostCounters): boolean => before.revision === after.revision;

export const LimitsTab = ({ hostId }: { readonly hostId: string }) => {
  const { currentData, error, refetch } = useHostCountersQuery(
    { hostId },
    { pollingInterval: countersPollMs, skipPollingIfUnfocused: true },
  );
  const readings = useReadings(currentData, isSameRevision);
  return (
    <Card title="Rate limits" isFlush aside={<Age counters={currentData} />} testId="limits">
      <Outcome value={currentData} failure={failureOf(error)} label="Loading the rate limits" onRetry={() => void refetch()}>
        {(counters) => <LimitTable hostId={hostId} limited={counters.mappings.filter(isLimited)} readings={readings} />}
      </Outcome>
    </Card>
  );
};

const Age = ({ counters }: { readonly counters: HostCounters | undefined }) => {
  const now = useNow();
  if (counters === undefined) return null;
  const limited = counters.mappings.filter(isLimited).length;
  return counters.live ? countOf(limited, 'mapping') : <span className="off">as of {formatAge(now - counters.at)} ago</span>;
};

interface LimitTableProps {
  readonly hostId: string;
  readonly limited: readonly LimitedMapping[];
  readonly readings: readonly HostCounters[];
}

const LimitTable = ({ hostId, limited, readings }: LimitTableProps) => {
  if (limited.length === 0)
    return (
      <Blank title="No mapping has a rate limit" icon={<Gauge size={28} aria-hidden="true" />}>
        A mapping that allows or balances can be limited in packets or bytes a second: in the policy editor, under “Rate limit”.
      </Blank>
    );
  return (
    <>
      <div className="table-scroll">
        <table className="table roomy">
          <thead>
            <tr>
              <th scope="col">Mapping</th>
              <th scope="col">Limit</th>
              <th scope="col" style={{ width: '34%' }}>
                Use now
              </th>
              <th scope="col" className="right">
                Over the limit
              </th>
              <th scope="col" className="right">
                In all
              </th>
              <th scope="col">
                <span className="unseen">Next</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {limited.map((mapping) => (
              <LimitLine key={mapping.mapping} hostId={hostId} mapping={mapping} readings={readings} />
            ))}
          </tbody>
        </table>
      </div>
      <p className="footnote dim">
        Use counts the mapping’s packets that passed, in both directions; the limit holds for what arrives for the mapping. Packets over it
        are dropped and counted apart.
      </p>
    </>
  );
};

interface LimitLineProps {
  readonly hostId: string;
  readonly mapping: LimitedMapping;
  readonly readings: readonly HostCounters[];
}

const LimitLine = ({ hostId, mapping, readings }: LimitLineProps) => {
  const { limit, mapping: name } = mapping;
  const rateOf = (read: (mapping: LimitedMapping) => number): number | null =>
    ratePerSecond(
      readings,
      (reading) =>
        reading.mappings
          .filter(isLimited)
          .filter((entry) => entry.mapping === name)
          .map(read)[0],
    );
  const over = rateOf((entry) => entry.limit.limitedPackets);
  return (
    <tr className="row" data-testid={`limit-${name}`}>
      <td>
        <Link className="mono" to={mappingLink(hostId, name)}>
          {name}
        </Link>
      </td>
      <td>
        {limitWords(limit).map((words) => (
          <div key={words}>{words}</div>
        ))}
        <div className="dim">
          burst {limit.packetsPerSecond === null ? formatBytes(limit.burst) : formatCount(limit.burst)}, per {limit.per}
        </div>
      </td>
      <td className="uses">
        <LimitUse limit={limit} packets={rateOf((entry) => entry.packets)} bytes={rateOf((entry) => entry.bytes)} name={name} />
      </td>
      <td className={(over ?? 0) > 0 ? 'mono right crit' : 'mono right'}>{over === null ? '–' : `${formatScaled(over)}/s`}</td>
      <td className="mono right">
        <div>{formatCount(limit.limitedPackets)}</div>
        <div className="dim">{formatBytes(limit.limitedBytes)}</div>
      </td>
      <td className="right">
        <Link to={flowsLink(hostId, { mapping: name })}>Flows</Link>
      </td>
    </tr>
  );
};

/** "20 k packets/s", "12.5 MB/s". */
const limitWords = ({ packetsPerSecond, bytesPerSecond }: Limit): readonly string[] => [
  ...(packetsPerSecond === null ? [] : [`${formatScaled(packetsPerSecond)} packets/s`]),
  ...(bytesPerSecond === null ? [] : [`${formatBytes(bytesPerSecond)}/s`]),
];

interface LimitUseProps {
  readonly name: string;
  readonly limit: Limit;
  readonly packets: number | null;
  readonly bytes: number | null;
}

/** A limit for each source says nothing about their sum: it gets figures, but no bar. */
const LimitUse = ({ name, limit, packets, bytes }: LimitUseProps) => {
  const packetText = packets === null ? '–' : `${formatScaled(packets)} packets/s`;
  const byteText = bytes === null ? '–' : `${formatBytes(bytes)}/s`;
  if (limit.per === 'source')
    return (
      <>
        {limit.packetsPerSecond === null ? byteText : packetText} <span className="dim">of all sources together</span>
      </>
    );
  return (
    <div className="stack tight">
      {limit.packetsPerSecond === null ? null : (
        <UseBar label={`${name} packets`} share={packets === null ? null : packets / limit.packetsPerSecond} text={packetText} />
      )}
      {limit.bytesPerSecond === null ? null : (
        <UseBar label={`${name} bytes`} share={bytes === null ? null : bytes / limit.bytesPerSecond} text={byteText} />
      )}
    </div>
  );
};
