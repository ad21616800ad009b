/** Hosts of an open snapshot by what is searched for, in the grammar of searches everywhere. */
import type { BridgeHandlers } from '../../bridge/contract.ts';
import { parseHostQuery } from '../../bridge/host-grammar.ts';
import { hostScope, hostsMatching } from '../../bridge/host-query.ts';
import type { SnapshotHosts } from '../../bridge/snapshot-model.ts';
import { NestError } from '../../../proto/model/error.ts';
import { rowOfIndex } from './snapshot-content.ts';
import type { SnapshotReader } from './snapshot-reader.ts';

const rowsDefault = 200;

/** Rows that the query fits at the time the snapshot was made; with a mistake in it, what stands before the mistake counts. */
export const searchHosts = (
  reader: SnapshotReader,
  input: Parameters<BridgeHandlers['snapshot.hosts']>[0],
  createdAtMs: number,
): SnapshotHosts => {
  const { where = '', offset = 0, limit = rowsDefault } = input;
  const { query, problems } = readQuery(where);
  const rows = hostsMatching(reader.hosts.map(rowOfIndex), query, hostScope([], createdAtMs));
  return { rows: rows.slice(offset, offset + limit), matched: rows.length, total: reader.hosts.length, problems };
};

const readQuery = (where: string): { readonly query: ReturnType<typeof parseHostQuery>; readonly problems: readonly string[] } => {
  try {
    return { query: parseHostQuery(where), problems: [] };
  } catch (error) {
    if (!(error instanceof NestError)) throw error;
    const start = typeof error.details?.['start'] === 'number' ? error.details['start'] : 0;
    // Shorter each time; blanks alone fit everything.
    const before = start < where.length ? where.slice(0, start) : '';
    return { query: readQuery(before).query, problems: [error.message] };
  }
};
