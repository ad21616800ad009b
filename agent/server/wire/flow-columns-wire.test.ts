import { expect, it } from 'vitest';
import { FlowColumns } from '../../../proto/gen/nest/v1/flow.ts';
import { flowBatchOf } from '../../../proto/model/flow-columns.ts';
import type { Flow } from '../../domains/traffic/api.ts';
import { toWireColumns } from './flow-columns-wire.ts';
import { toWireFlow } from './flow-wire.ts';

const plain: Flow = {
  source: '198.18.0.1',
  destination: '2001:db8::1',
  sourcePort: 1024,
  destinationPort: 443,
  protocol: 6,
  state: 'live',
  allowed: true,
  reason: 'POLICY_ALLOW',
  mapping: 'web',
  interface: 'lan0',
  forward: { packets: 3n, bytes: 1n << 50n },
  reverse: { packets: 0n, bytes: 0n },
  firstSeenMs: 1_700_000_000_000.4,
  lastSeenMs: 1_700_000_000_001,
  revision: 7,
  sourceServices: [],
  destinationServices: ['web', 'tls'],
  translation: null,
};

const flows: readonly Flow[] = [
  plain,
  {
    ...plain,
    source: '198.18.0.2',
    state: 'denied',
    allowed: false,
    reason: 'POLICY_DENY',
    mapping: '',
    destinationServices: [],
    forward: { packets: 1n, bytes: 60n },
  },
  {
    ...plain,
    sourceServices: ['tls'],
    translation: { source: '', destination: '198.19.0.9', sourcePort: 0, destinationPort: 8443, backend: 'one' },
    reverse: { packets: 9n, bytes: 900n },
  },
];

it('carries a batch of flows by column as single messages would', () => {
  const columns = FlowColumns.decode(FlowColumns.encode(toWireColumns(flows)).finish());
  const batch = flowBatchOf({ position: { sequence: 4n, lost: 2n }, flows: [], columns });
  const single = flowBatchOf({ position: { sequence: 4n, lost: 2n }, flows: flows.map(toWireFlow) });
  expect([batch.position, batch.count]).toEqual([single.position, 3]);
  for (const index of flows.keys()) {
    expect(batch.flow(index)).toEqual(single.flow(index));
    expect(batch.bytes(index)).toBe(single.bytes(index));
  }
  expect(columns.texts.filter((text) => text === 'web')).toHaveLength(1);
  expect(() => batch.flow(3)).toThrow(RangeError);
  expect(() => single.flow(3)).toThrow(RangeError);
});

it('has no entries for columns of zeros, and none at all for an empty batch', () => {
  expect(toWireColumns([{ ...plain, destinationServices: [] }])).toMatchObject({
    reversePackets: Buffer.alloc(0),
    translations: Buffer.alloc(0),
    serviceLists: [],
  });
  expect(flowBatchOf({ position: undefined, flows: [], columns: toWireColumns([]) }).count).toBe(0);
});
