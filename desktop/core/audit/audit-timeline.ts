/** The newest entries of many hosts as one list. */
import { decodeAuditEntry, extendChain, previousHashOf } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import { toErrorShape } from '../../../proto/model/error.ts';
import type { InputOf } from '../../bridge/contract.ts';
import type { AuditRow, AuditSearched, AuditTimeline } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled, mapConcurrently, throwIfCancelled } from '../../lib/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import type { KeptEntries } from './audit-witness.ts';

export type AuditFilter = InputOf<'audit.list'>;

const limitDefault = 200;
const pageEntries = 500;
/** A host is searched back so far in one question, entries. */
const searchedMax = 20_000;
const hostsAtOnce = 16;
/** Entries asked of each of many hosts at least. */
const shareMin = 20;

/** Asks every host of the filter; those that are gone answer from what the console kept. Raises HOST_UNKNOWN, CANCELLED. */
export const auditTimeline = async (context: HandlerContext, filter: AuditFilter, signal: AbortSignal): Promise<AuditTimeline> => {
  const { roster, clock } = context;
  const hosts =
    filter.hostIds === undefined || filter.hostIds.length === 0 ? roster.all : filter.hostIds.map((hostId) => roster.get(hostId));
  const limit = filter.limit ?? limitDefault;
  // Of many hosts a few entries each are enough, but for those whose oldest is still newer than what will be shown.
  const share = hosts.length <= hostsAtOnce ? limit : Math.max(shareMin, Math.ceil((2 * limit) / hosts.length));
  const search = (host: ManagedHost, wanted: number): Promise<HostFound> => searchHost(context, { host, filter, limit: wanted }, signal);
  const first = await mapConcurrently(hosts, hostsAtOnce, async (host) => ({ host, ...(await search(host, share)) }));
  const oldestShown = mergedRows(first)[limit - 1]?.at ?? -Infinity;
  const found = await mapConcurrently(first, hostsAtOnce, async (one) =>
    one.rows.length >= share && share < limit && (one.rows[0]?.at ?? 0) > oldestShown ? search(one.host, limit) : one,
  );
  throwIfCancelled(signal);
  return { at: clock.now(), rows: mergedRows(found).slice(0, limit), hosts: found.map(({ searched }) => searched) };
};

/** The newest first. */
const mergedRows = (found: readonly HostFound[]): AuditRow[] =>
  found.flatMap(({ rows }) => rows).sort((a, b) => b.at - a.at || a.hostName.localeCompare(b.hostName) || b.number - a.number);

/** The entry as a row. Raises AUDIT_BROKEN. */
export const auditRowOf = (host: { readonly hostId: string; readonly name: string }, bytes: Uint8Array): AuditRow => {
  const { atMs, requestHash, opening, ...entry } = decodeAuditEntry(bytes);
  return {
    hostId: host.hostId,
    hostName: host.name,
    ...entry,
    at: atMs,
    requestHash: Buffer.from(requestHash).toString('hex'),
    opening: opening === 0 ? null : opening,
  };
};

/** Whether a row is wanted; texts are found anywhere, without regard to case. */
export const isWanted = (row: AuditRow, filter: AuditFilter): boolean => {
  const has = (value: string, part: string | undefined): boolean => part === undefined || value.toLowerCase().includes(part.toLowerCase());
  if (filter.since !== undefined && row.at < filter.since) return false;
  if (filter.until !== undefined && row.at > filter.until) return false;
  if (filter.outcome === 'done' && row.result !== 'OK') return false;
  if (filter.outcome === 'refused' && (row.result === 'OK' || row.result === 'started')) return false;
  const everything = [row.actor, row.device, row.source, row.action, row.target, row.result, row.detail, row.requestHash].join('\n');
  return has(row.actor, filter.actor) && has(row.action, filter.action) && has(everything, filter.contains);
};

interface HostSearch {
  readonly host: ManagedHost;
  readonly filter: AuditFilter;
  readonly limit: number;
}

/** Rows oldest first. */
interface HostFound {
  readonly rows: readonly AuditRow[];
  readonly searched: AuditSearched;
}

const searchHost = async (context: HandlerContext, search: HostSearch, signal: AbortSignal): Promise<HostFound> => {
  const { record } = search.host;
  const who = { hostId: record.hostId, hostName: record.name };
  try {
    const client = await search.host.client(signal);
    const { rows, searchedTo, hasMore } = await searchBack(client, search, signal);
    return { rows, searched: { ...who, live: true, searchedTo, hasMore, problem: null } };
  } catch (error) {
    if (isCancelled(error)) throw error;
    const { code, message } = toErrorShape(error);
    const kept = (context.cache.document<KeptEntries>(record.hostId, 'audit-entries')?.content.entries ?? []).map((entry) =>
      auditRowOf(record, Buffer.from(entry, 'base64')),
    );
    const rows = kept.filter((row) => isWanted(row, search.filter)).slice(-search.limit);
    const searchedTo = kept[0]?.number ?? null;
    return { rows, searched: { ...who, live: false, searchedTo, hasMore: (searchedTo ?? 1) > 1, problem: { code, message } } };
  }
};

/** Page by page from the newest, until enough is found, nothing older is wanted, or the search has gone back far enough. */
const searchBack = async (
  client: AgentClient,
  { host, filter, limit }: HostSearch,
  signal: AbortSignal,
): Promise<{ readonly rows: readonly AuditRow[]; readonly searchedTo: number | null; readonly hasMore: boolean }> => {
  const { head, firstNumber } = await client.getAuditHead({ signal });
  const first = Number(firstNumber);
  const newest = host.witness.headOf(head).number;
  const rows: AuditRow[] = [];
  const isFiltered = Object.keys(filter).some((key) => key !== 'hostIds' && key !== 'limit');
  const pageMax = isFiltered ? pageEntries : Math.min(pageEntries, limit);
  let below = newest + 1;
  while (below > first && rows.length < limit && newest - below < searchedMax) {
    const after = Math.max(first - 1, below - 1 - pageMax);
    const page = (await pageOf(client, { after, max: below - 1 - after }, signal)).map((bytes) => auditRowOf(host.record, bytes));
    rows.unshift(...page.filter((row) => isWanted(row, filter)));
    below = after + 1;
    if (filter.since !== undefined && (page[0]?.at ?? 0) < filter.since) break;
  }
  return { rows: rows.slice(-limit), searchedTo: newest === 0 ? null : below, hasMore: below > first };
};

/** The entries of a range, which must be one chain. Raises AUDIT_BROKEN. */
const pageOf = async (
  client: AgentClient,
  range: { readonly after: number; readonly max: number },
  signal: AbortSignal,
): Promise<readonly Buffer[]> => {
  const entries: Buffer[] = [];
  let end: ChainEnd | null = null;
  for await (const piece of client.listAuditEntries(range, signal)) {
    for (const bytes of piece) {
      end = extendChain(end ?? { number: range.after, hash: Buffer.from(previousHashOf(bytes)) }, bytes);
      entries.push(bytes);
    }
  }
  throwIfCancelled(signal);
  return entries;
};
