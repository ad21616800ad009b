/** Hosts of an open snapshot by what is searched for. */
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HostRow } from '../../bridge/model.ts';
import type { SnapshotHosts } from '../../bridge/snapshot-model.ts';
import { rowOfIndex } from './snapshot-content.ts';
import type { SnapshotReader } from './snapshot-reader.ts';

const rowsDefault = 200;
/** More words are not read. */
const wordsMax = 32;

/** Rows in which every word is found: in name, address, labels, state or version. */
export const searchHosts = (reader: SnapshotReader, input: Parameters<BridgeHandlers['snapshot.hosts']>[0]): SnapshotHosts => {
  const { where = '', offset = 0, limit = rowsDefault } = input;
  const words = where
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
    .slice(0, wordsMax);
  const rows = reader.hosts.map(rowOfIndex).filter((row) => words.every((word) => textOf(row).includes(word)));
  return { rows: rows.slice(offset, offset + limit), matched: rows.length, total: reader.hosts.length, problems: [] };
};

const textOf = ({ name, address, labels, state, agentVersion, engine }: HostRow): string =>
  [name, address, ...labels, state, agentVersion ?? '', engine ?? ''].join(' ').toLowerCase();
