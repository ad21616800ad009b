import { describe, expect, it } from 'vitest';
import type { ExportCounters } from '../domains/traffic/api.ts';
import { createFakeDomains } from './fake-domains.ts';
import { createMetrics } from './metrics.ts';

const exposed = async (exports?: () => ExportCounters): Promise<readonly string[]> => {
  const text = await createMetrics({ ...createFakeDomains(), agentVersion: '1.2.3', exports }).expose();
  return text.split('\n').filter((line) => line.startsWith('nest_export_'));
};

describe('metrics of the export', () => {
  it('tell per collector what was made, sent, waits and was dropped why, and what makes periods incomplete', async () => {
    const counters: ExportCounters = {
      targets: [
        {
          target: 'ipfix',
          sent: 12,
          queued: 3,
          isResolved: false,
          dropped: [{ reason: 'queue_full', count: 5 }],
          records: [{ kind: 'start', count: 40 }],
        },
      ],
      dumpsTruncated: 1,
      dumpsMissed: 2,
      recordsDropped: 3,
      flowsForgotten: 4,
    };
    expect(await exposed(() => counters)).toEqual([
      'nest_export_records_total{target="ipfix",kind="start"} 40',
      'nest_export_datagrams_total{target="ipfix"} 12',
      'nest_export_dropped_total{target="ipfix",reason="queue_full"} 5',
      'nest_export_queue{target="ipfix"} 3',
      'nest_export_resolved{target="ipfix"} 0',
      'nest_export_incomplete_total{cause="dump_truncated"} 1',
      'nest_export_incomplete_total{cause="dump_missed"} 2',
      'nest_export_incomplete_total{cause="record_dropped"} 3',
      'nest_export_incomplete_total{cause="flow_forgotten"} 4',
    ]);
  });

  it('are absent where nothing is exported', async () => {
    expect(await exposed()).toEqual([]);
    expect(await exposed(() => ({ targets: [], dumpsTruncated: 0, dumpsMissed: 0, recordsDropped: 0, flowsForgotten: 0 }))).toEqual([]);
  });
});
