/** Takes hosts from what the console knows: rows as they are now, documents as they were kept. Asks nobody. */
import type { HostRow, PolicyRevision } from '../../bridge/model.ts';
import type { CachedDocument, FleetCache, HostRecord } from '../cache/fleet-cache.ts';
import { cachedFlowsMax } from '../hosts/document-refresh.ts';
import type { Reading } from '../telemetry/reading.ts';
import { indexRowOf } from './snapshot-content.ts';
import type { SnapshotDocumentKind } from './snapshot-content.ts';
import { profileDocuments } from './redaction.ts';
import type { Redaction, RedactionLimits } from './redaction.ts';
import type { SnapshotProfile } from '../../../proto/model/snapshot-profile.ts';
import type { SnapshotEntry } from './snapshot-writer.ts';

/** Flows, and points of history, of a whole snapshot unless a number for each host is asked for. */
const flowsOfAll = 20_000;
const historyOfAll = 60_000;
const historyMax = 300;

export interface CollectedHost {
  readonly record: HostRecord;
  readonly row: () => HostRow;
  /** Its last status, from memory: newer than what was stored, and large. */
  readonly reading: () => Reading | null;
}

export interface CollectRequest {
  readonly profile: SnapshotProfile;
  readonly hosts: readonly CollectedHost[];
  /** Of each host; undefined: as many as the size of the fleet allows. */
  readonly flows?: number | undefined;
}

/** Entries in the order of `hosts`, and for each how many flows were left out. */
export const collectEntries = function* (
  cache: Pick<FleetCache, 'document'>,
  redaction: Redaction,
  { profile, hosts, flows }: CollectRequest,
): Generator<{ readonly entry: SnapshotEntry; readonly leftFlows: number }> {
  const share = (all: number, max: number): number => Math.min(max, Math.floor(all / Math.max(1, hosts.length)));
  const limits: RedactionLimits = {
    flows: flows ?? share(flowsOfAll, cachedFlowsMax),
    history: profile === 'diagnostic' || profile === 'full' ? share(historyOfAll, historyMax) : 0,
  };
  for (const { record, row, reading } of hosts) {
    const { hostId } = record;
    const found = new Map<SnapshotDocumentKind, CachedDocument<unknown>>();
    for (const kind of profileDocuments[profile]) {
      const document = kind === 'sample' ? sampleOf(reading()) : cache.document<unknown>(hostId, kind);
      if (document !== null) found.set(kind, document);
    }
    const policy = (found.get('policy')?.content as PolicyRevision | undefined)?.policy ?? null;
    const { documents, leftFlows } = redaction.documents(Object.fromEntries(found), limits);
    const entry: SnapshotEntry = {
      host: {
        row: indexRowOf(row()),
        port: record.port,
        cluster: record.cluster ?? null,
        fingerprint: redaction.text(record.spkiSha256),
        certificateEndsAt: record.certificateEndsAt,
        enrolledAt: record.enrolledAt,
      },
      documents,
      policy: policy === null ? null : redaction.policy(policy),
    };
    yield { entry, leftFlows };
  }
};

const sampleOf = (reading: Reading | null): CachedDocument<Reading> | null =>
  reading === null ? null : { at: reading.at, content: reading };
