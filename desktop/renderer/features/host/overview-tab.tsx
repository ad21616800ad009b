import { Suspense, lazy } from 'react';
import type { HostDetail, HostSample } from '../../../bridge/model.ts';
import { formatBytes, formatCount } from '../../client/units.ts';
import { Bones } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Meter } from '../../widgets/meter.tsx';
import { DropsCard } from './drops-card.tsx';
import { HostFacts } from './host-facts.tsx';
import { PacketPath } from './packet-path.tsx';
import { WhyCard } from './why-card.tsx';

const VerdictChart = lazy(async () => ({ default: (await import('../../widgets/verdict-chart.tsx')).VerdictChart }));

interface OverviewTabProps {
  readonly detail: HostDetail;
  readonly sample: HostSample;
}

export const OverviewTab = ({ detail, sample }: OverviewTabProps) => (
  <>
    <PacketPath hostId={detail.row.hostId} sample={sample} />
    <div className="two">
      <div className="column">
        <Card
          title="Packets per second by verdict"
          aside={
            <span className="legend">
              <span className="sky">
                <span className="dot" aria-hidden="true" /> allowed
              </span>
              <span className="crit">
                <span className="dot square" aria-hidden="true" /> denied
              </span>
            </span>
          }
        >
          {sample.history.length < 2 ? (
            <p className="dim">Rates need two readings: they appear within two seconds.</p>
          ) : (
            <Suspense fallback={<Bones label="Loading the chart" />}>
              <VerdictChart history={sample.history} />
            </Suspense>
          )}
        </Card>
        <DropsCard hostId={detail.row.hostId} sample={sample} />
      </div>
      <div className="column">
        <WhyCard detail={detail} sample={sample} />
        <HostFacts detail={detail} sample={sample} />
        <ResourcesCard sample={sample} />
      </div>
    </div>
  </>
);

const ResourcesCard = ({ sample }: { readonly sample: HostSample }) => (
  <Card title="Resources">
    <Meter label="CPU" share={sample.cpuBusy} />
    <Meter
      label="Memory"
      share={sample.memoryTotalBytes === 0 ? null : sample.memoryUsedBytes / sample.memoryTotalBytes}
      detail={`${formatBytes(sample.memoryUsedBytes)} of ${formatBytes(sample.memoryTotalBytes)}`}
    />
    <Meter
      label="Flow table"
      share={sample.flows === null || sample.flowsMax === 0 ? null : sample.flows / sample.flowsMax}
      detail={`${formatCount(sample.flows)} of ${formatCount(sample.flowsMax)}`}
    />
    {sample.disks.map((disk) => (
      <Meter
        key={disk.mountPoint}
        label={`Disk ${disk.mountPoint}`}
        share={disk.totalBytes === 0 ? null : disk.usedBytes / disk.totalBytes}
        detail={`${formatBytes(disk.usedBytes)} of ${formatBytes(disk.totalBytes)}`}
      />
    ))}
  </Card>
);
