/** Two states of a fleet side by side: files, or a file and the fleet as this console knows it now. */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { diffPolicies } from '../../../native/image/api.ts';
import type { SnapshotComparison, SnapshotDifference, SnapshotPolicyDifference, SnapshotSide } from '../../bridge/snapshot-model.ts';
import { policyOf } from '../policy/policy-check.ts';
import type { IndexHost } from './snapshot-content.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import type { SnapshotEntry } from './snapshot-writer.ts';

/** Differences told; counts are of all. */
const differencesMax = 1_000;
/** Whoever else waits for the event loop is let in after so many hosts. */
const hostsAtOnce = 200;

export interface ComparedHost {
  readonly host: Pick<IndexHost, 'row' | 'port' | 'cluster' | 'fingerprint' | 'certificateEndsAt'>;
  /** SHA-256, hex; null when not known. */
  readonly policyHash: string | null;
}

export interface ComparedSide {
  readonly side: SnapshotSide;
  /** Hexadecimal; empty when nothing is masked. */
  readonly maskKeyId: string;
  /** Whether it holds policies at all. */
  readonly hasPolicies: boolean;
  readonly hosts: ReadonlyMap<string, ComparedHost>;
}

/** What an open file brings. */
export const sideOfReader = (side: SnapshotSide, reader: SnapshotReader): ComparedSide => ({
  side,
  maskKeyId: reader.header.maskKeyId.toString('hex'),
  hasPolicies: reader.header.profile !== 'inventory',
  hosts: new Map(reader.hosts.map((host) => [host.row.hostId, { host, policyHash: reader.policyHash(host) }])),
});

/** What the fleet brings now, masked as the other side is. */
export const sideOfEntries = async (
  side: SnapshotSide,
  maskKeyId: string,
  entries: Iterable<{ readonly entry: SnapshotEntry }>,
): Promise<ComparedSide> => {
  const hosts = new Map<string, ComparedHost>();
  for (const { entry } of entries) {
    if (hosts.size % hostsAtOnce === hostsAtOnce - 1) await setImmediate();
    hosts.set(entry.host.row.hostId, { host: entry.host, policyHash: entry.policy === null ? null : sha256(entry.policy) });
  }
  return { side: { ...side, hosts: hosts.size }, maskKeyId, hasPolicies: true, hosts };
};

/** From the first side to the second. Fields that were masked with different keys are left out, and so are policies that one side has none of. */
export const compareSides = (before: ComparedSide, after: ComparedSide): SnapshotComparison => {
  const isMaskShared = before.maskKeyId === after.maskKeyId;
  const comparesPolicies = before.hasPolicies && after.hasPolicies;
  const counts = { added: 0, removed: 0, changed: 0, same: 0 };
  const differences: SnapshotDifference[] = [];
  for (const hostId of new Set([...before.hosts.keys(), ...after.hosts.keys()])) {
    const [left, right] = [before.hosts.get(hostId), after.hosts.get(hostId)];
    const difference = differenceOf({ hostId, left, right }, { isMaskShared, comparesPolicies });
    counts[difference?.kind ?? 'same'] += 1;
    if (difference !== null && differences.length < differencesMax) differences.push(difference);
  }
  return { before: before.side, after: after.side, ...counts, differences, isMaskShared };
};

const differenceOf = (
  { hostId, left, right }: { readonly hostId: string; readonly left: ComparedHost | undefined; readonly right: ComparedHost | undefined },
  rules: { readonly isMaskShared: boolean; readonly comparesPolicies: boolean },
): SnapshotDifference | null => {
  const name = (right ?? left)?.host.row.name ?? hostId;
  if (left === undefined) return { hostId, name, kind: 'added', fields: [] };
  if (right === undefined) return { hostId, name, kind: 'removed', fields: [] };
  const [old, now] = [fieldsOf(left, rules), fieldsOf(right, rules)];
  const fields = Object.keys(old).flatMap((field) => {
    const change = { field, before: old[field] ?? '', after: now[field] ?? '' };
    return change.before === change.after ? [] : [change];
  });
  return fields.length === 0 ? null : { hostId, name, kind: 'changed', fields };
};

/** What is compared of a host; not what changes every second. */
const fieldsOf = (
  { host, policyHash }: ComparedHost,
  { isMaskShared, comparesPolicies }: { readonly isMaskShared: boolean; readonly comparesPolicies: boolean },
): Readonly<Record<string, string>> => {
  const { row, port, cluster, fingerprint } = host;
  return {
    name: row.name,
    address: `${row.address}:${String(port)}`,
    labels: row.labels.toSorted().join(' '),
    cluster: cluster ?? '',
    agent: row.agentVersion ?? '',
    engine: row.engine ?? '',
    revision: row.revision === null ? '' : String(row.revision),
    generation: row.generation ?? '',
    ...(isMaskShared ? { key: fingerprint } : {}),
    ...(comparesPolicies ? { policy: policyHash ?? '' } : {}),
  };
};

/** Line by line, as plans show it. A side without a policy is empty. Raises POLICY_INVALID for one that this console cannot read. */
export const comparePolicies = (before: string | null, after: string | null): SnapshotPolicyDifference => {
  if (after === null) {
    const { lines, linesHidden } = before === null ? { lines: [], linesHidden: 0 } : diffPolicies(undefined, policyOf(before));
    return { lines: lines.map((line) => ({ ...line, kind: line.kind === 'added' ? 'removed' : line.kind })), hidden: linesHidden };
  }
  const { lines, linesHidden } = diffPolicies(before === null ? undefined : policyOf(before), policyOf(after));
  return { lines, hidden: linesHidden };
};

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
