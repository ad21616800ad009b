/** What the chunks of a snapshot hold, as JSON in columns: index rows that name where everything else lies, and documents of hosts. */
import { z } from 'zod';
import { damaged, snapshotChunksMax, snapshotPlainBytesMax } from '../../../proto/model/snapshot.ts';
import type { HostRow } from '../../bridge/model.ts';
import type { CachedDocument, DocumentKind } from '../cache/fleet-cache.ts';
import { decodeColumn, encodeColumn } from './snapshot-columns.ts';

/** Kinds of documents that go into a snapshot; a policy without its text, which is a blob. */
export type SnapshotDocumentKind = Exclude<DocumentKind, 'audit' | 'audit-entries'>;
export type SnapshotDocuments = { readonly [Kind in SnapshotDocumentKind]?: CachedDocument<unknown> };

/** Characters of a text, and labels, in an index row. */
const textMax = 1_024;
const labelsMax = 64;
const text = z.string().max(textMax);
const nullable = z.nullable(z.number());

const place = z.strictObject({
  chunk: z.int().min(0).max(snapshotChunksMax),
  offset: z.int().min(0).max(snapshotPlainBytesMax),
  bytes: z.int().min(0).max(snapshotPlainBytesMax),
});
export type Place = z.output<typeof place>;

/** What a newer console has more is left out. */
const row = z.object({
  hostId: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  name: text,
  address: text,
  labels: z.array(text).max(labelsMax),
  state: z.enum(['connecting', 'healthy', 'degraded', 'offline']),
  stateReason: z.nullable(text),
  seenAt: nullable,
  engine: z.nullable(text),
  packetsPerSecond: nullable,
  dropsPerSecond: nullable,
  bytesPerSecond: nullable,
  cpuBusy: nullable,
  flows: nullable,
  revision: nullable,
  generation: z.nullable(text),
  pendingUntil: nullable,
  agentVersion: z.nullable(text),
  kernel: z.nullable(text),
});

const host = z.object({
  row,
  port: z.int().min(1).max(65_535),
  cluster: z.nullable(text),
  /** Masked like other secrets, so that a changed key shows in a comparison. */
  fingerprint: text,
  certificateEndsAt: z.number(),
  enrolledAt: z.number(),
  /** Its row in a chunk of hosts. */
  documents: z.object({ chunk: z.int().min(0).max(snapshotChunksMax), row: z.int().min(0) }),
  /** Numbers of blobs. */
  policy: z.nullable(z.int().min(0)),
  image: z.nullable(z.int().min(0)),
});
export type IndexHost = z.output<typeof host>;

const blob = z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), place });
export type IndexBlob = z.output<typeof blob>;

/** An index chunk; blobs are in the first alone. */
const indexChunk = z.object({
  hosts: z.array(host).max(100_000),
  blobs: z.array(blob).max(200_000),
  /** What was left out of this snapshot because of limits. */
  left: z.object({ flows: z.int().min(0), images: z.int().min(0), documents: z.int().min(0) }),
});
export type IndexChunk = z.output<typeof indexChunk>;

/** Raises SNAPSHOT_INVALID. */
export const parseIndexChunk = (plain: Buffer): IndexChunk => {
  const { hosts, blobs, left } = fieldsOf(plain, 'its index is not one');
  try {
    return indexChunk.parse({ hosts: decodeColumn(hosts), blobs: decodeColumn(blobs), left });
  } catch (error) {
    throw damaged('its index is not one', error);
  }
};

/** The bytes of an index chunk. */
export const encodeIndexChunk = ({ hosts, blobs, left }: IndexChunk): Buffer =>
  Buffer.from(JSON.stringify({ hosts: encodeColumn(hosts), blobs: encodeColumn(blobs), left }));

const documents = z.partialRecord(
  z.enum(['host', 'sample', 'counters', 'flows', 'revisions', 'policy', 'balancers', 'deny-lists']),
  z.strictObject({ at: z.number(), content: z.unknown() }),
);

/** Documents of the hosts of one chunk, not looked at yet. Raises SNAPSHOT_INVALID. */
export const decodeHostsChunk = (plain: Buffer): readonly unknown[] =>
  decodeColumn(fieldsOf(plain, 'what it holds of hosts cannot be read')['documents']);

/** The bytes of a chunk of hosts. */
export const encodeHostsChunk = (hosts: readonly SnapshotDocuments[]): Buffer =>
  Buffer.from(JSON.stringify({ documents: encodeColumn(hosts) }));

/** Raises SNAPSHOT_INVALID. What is inside a document is shown, not trusted. */
export const parseDocuments = (value: unknown): SnapshotDocuments => {
  const parsed = documents.safeParse(value);
  if (parsed.success) return parsed.data;
  throw damaged('what it holds of a host cannot be read', parsed.error);
};

const fieldsOf = (plain: Buffer, reason: string): Readonly<Record<string, unknown>> => {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(plain.toString()));
  } catch (error) {
    throw damaged(reason, error);
  }
};

/** The row as views take it; points of history stay on the hosts. */
export const rowOfIndex = ({ row: kept, cluster, certificateEndsAt }: IndexHost): HostRow => ({
  ...kept,
  cluster,
  certificateEndsAt,
  history: [],
});

/** A row for the index: these fields and no others, whatever a row has more. */
export const indexRowOf = (from: HostRow): IndexHost['row'] => ({
  hostId: from.hostId,
  name: cut(from.name),
  address: cut(from.address),
  labels: from.labels.slice(0, labelsMax).map(cut),
  state: from.state,
  stateReason: from.stateReason === null ? null : cut(from.stateReason),
  seenAt: from.seenAt,
  engine: from.engine,
  packetsPerSecond: from.packetsPerSecond,
  dropsPerSecond: from.dropsPerSecond,
  bytesPerSecond: from.bytesPerSecond,
  cpuBusy: from.cpuBusy,
  flows: from.flows,
  revision: from.revision,
  generation: from.generation,
  pendingUntil: from.pendingUntil,
  agentVersion: from.agentVersion,
  kernel: from.kernel === null ? null : cut(from.kernel),
});

const cut = (value: string): string => value.slice(0, textMax);
