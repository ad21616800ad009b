import { setImmediate } from 'node:timers/promises';
import { backendNone, recordAt, recordBytes, recordOffsets as at } from '../../engine/api.ts';
import type { RecordBatch } from '../../engine/api.ts';
import { mappingOf, translationOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

/** Rows looked at before other work gets its turn: some two milliseconds. */
const rowsPerTurn = 16_384;

/** Live flows by the name of their mapping, a slash and that of their backend. */
export type BackendFlows = ReadonlyMap<string, number>;

/** Counts the flows of a dump by backend. Flows to a backend that the policy in force does not have are left out. */
export const countBackendFlows = async ({ rows, count }: RecordBatch, names: FlowNames): Promise<BackendFlows> => {
  // By policy and index first, so that names are looked up once for each backend and not for each flow.
  const places = new Map<number, { readonly position: number; flows: number }>();
  for (let position = 0; position < count; position++) {
    const row = position * recordBytes;
    const index = rows.readUInt16LE(row + at.backend);
    if (index !== backendNone) {
      const key = rows.readUInt32LE(row + at.sequence) * 0x1_0000 + index;
      const place = places.get(key);
      if (place === undefined) places.set(key, { position, flows: 1 });
      else place.flows++;
    }
    if (position % rowsPerTurn === rowsPerTurn - 1) await setImmediate();
  }
  const flows = new Map<string, number>();
  for (const { position, flows: more } of places.values()) {
    const record = recordAt(rows, position);
    const mapping = mappingOf(record, names, undefined);
    const backend = translationOf(record, mapping, names)?.backend ?? '';
    if (backend !== '') flows.set(`${mapping}/${backend}`, (flows.get(`${mapping}/${backend}`) ?? 0) + more);
  }
  return flows;
};
