import { describe, expect, it } from 'vitest';
import { recordAt, recordBytes, recordKinds } from '../../engine/api.ts';
import type { FlowRecord } from '../../engine/api.ts';
import { recordOffsets as at } from '../../engine/layout.ts';
import { createFlowStore } from './flow-store.ts';
import type { FlowStore } from './flow-store.ts';

const record = (kind: number, timeNs: number, port: number): FlowRecord => {
  const row = Buffer.alloc(recordBytes);
  row.writeBigUInt64LE(BigInt(timeNs), at.time_ns);
  row.writeBigUInt64LE(1n, at.packets);
  row.writeBigUInt64LE(100n, at.bytes);
  row.writeUInt8(kind, at.kind);
  row.writeUInt16LE(port, at.source_port);
  return recordAt(row, 0);
};

const kept = (store: FlowStore): unknown[] => {
  const { rows, count, firstTimeNs } = store.snapshot();
  return Array.from({ length: count }, (_, position) => {
    const { sourcePort, timeNs, forward } = recordAt(rows, position);
    return [sourcePort, Number(firstTimeNs[position]), Number(timeNs), Number(forward.packets)];
  });
};

describe('flow store', () => {
  it('forgets the oldest when it is full and says until when', () => {
    const store = createFlowStore(3);
    for (const port of [1, 2, 3]) store.add(record(recordKinds.end, port * 10, port));
    expect(store.forgottenTimeNs).toBeNull();
    store.add(record(recordKinds.end, 40, 4));
    expect(kept(store)).toEqual([
      [4, 40, 40, 1],
      [2, 20, 20, 1],
      [3, 30, 30, 1],
    ]);
    expect(store.forgottenTimeNs).toBe(10n);
  });

  it('adds a denied flow that comes again to its entry, and begins anew once that is forgotten', () => {
    const store = createFlowStore(2);
    for (const timeNs of [10, 20, 30]) store.add(record(recordKinds.deny, timeNs, 1));
    expect(kept(store)).toEqual([[1, 10, 30, 3]]);
    store.add(record(recordKinds.end, 40, 2));
    store.add(record(recordKinds.end, 50, 3));
    store.add(record(recordKinds.deny, 60, 1));
    expect(kept(store)).toEqual([
      [3, 50, 50, 1],
      [1, 60, 60, 1],
    ]);
  });

  it('keeps each end of a flow that came again', () => {
    const store = createFlowStore(4);
    store.add(record(recordKinds.end, 10, 1));
    store.add(record(recordKinds.end, 20, 1));
    expect(kept(store)).toHaveLength(2);
  });

  it('gives a copy that later records do not change', () => {
    const store = createFlowStore(1);
    store.add(record(recordKinds.end, 10, 1));
    const before = store.snapshot();
    store.add(record(recordKinds.end, 20, 2));
    expect(recordAt(before.rows, 0).sourcePort).toBe(1);
  });
});
