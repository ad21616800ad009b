/** Grants as this console uses and sees them. */
import { envelopeOf } from '../../../proto/model/access/storage.ts';
import { coversLevel, parseLevel } from '../../../proto/model/access/level.ts';
import { readGrant } from '../../../proto/model/break-glass.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { BreakGlassRow, GrantUse } from '../../bridge/mfa-model.ts';
import { presentGrant } from '../../grpc/api.ts';
import type { OperatorIdentity } from '../../grpc/api.ts';
import { isCancelled, mapConcurrently } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { AccessBook } from '../access/access-book.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';

const usedValue = 'break-glass.used';
const callsInFlightMax = 16;

export interface BreakGlassDeskOptions {
  readonly roster: HostRoster;
  readonly book: AccessBook;
  readonly operator: OperatorIdentity;
  readonly cache: Pick<FleetCache, 'value' | 'putValue'>;
  readonly clock: Clock;
  readonly fleetId: string;
}

/** Until when a grant of this device lives, by host id; milliseconds since the Unix epoch. */
type Used = Readonly<Record<string, number>>;

export interface BreakGlassDesk {
  /** Shows the grant to every host it is for. Raises INPUT_INVALID, HOST_UNKNOWN when it is for none of this inventory. */
  use(text: string, signal: AbortSignal): Promise<readonly GrantUse[]>;
  /** What hosts say, by their last word. */
  list(): readonly BreakGlassRow[];
  isGranted(hostId: string): boolean;
}

export const createBreakGlassDesk = ({ roster, book, operator, cache, clock, fleetId }: BreakGlassDeskOptions): BreakGlassDesk => {
  const used = (): Used => cache.value<Used>(usedValue) ?? {};
  return {
    use: async (text, signal) => {
      const grant = envelopeOf(text.trim());
      const { level } = readGrant(grant);
      const known = hostsAt(roster, book, level);
      // Whoever holds no role cannot read which hosts a cluster has: each host judges by its own bundle.
      const isAsked = known === null;
      const hosts = known ?? roster.all;
      if (hosts.length === 0)
        throw new NestError('HOST_UNKNOWN', `The grant is for ${level}, and no host of it is in this console's inventory.`);
      const uses = await mapConcurrently(hosts, callsInFlightMax, async ({ record }): Promise<GrantUse> => {
        const named = { hostId: record.hostId, hostName: record.name };
        const identity = { fleetId, agentId: record.hostId, spkiSha256: record.spkiSha256, nextSpkiSha256: record.nextSpkiSha256 };
        try {
          const lifeMs = await presentGrant({ endpoint: record, identity, operator, grant, now: clock.now(), signal });
          return { ...named, until: clock.now() + lifeMs, problem: null };
        } catch (error) {
          if (isCancelled(error)) throw error;
          const { code, message } = toErrorShape(error);
          return { ...named, until: null, problem: { code, message } };
        }
      });
      const now = clock.now();
      const living = Object.entries(used()).filter(([, until]) => until > now);
      const granted = uses.flatMap(({ hostId, until }) => (until === null ? [] : [[hostId, until] as const]));
      cache.putValue(usedValue, Object.fromEntries([...living, ...granted]));
      const mine = uses.filter(({ problem }) => problem?.code !== 'SCOPE_MISSING');
      return isAsked && mine.length > 0 ? mine : uses;
    },
    list: () =>
      roster.all.flatMap(({ record, reading }) =>
        (reading?.breakGlass ?? []).map((use) => ({ ...use, hostId: record.hostId, hostName: record.name })),
      ),
    isGranted: (hostId) => (used()[hostId] ?? 0) > clock.now(),
  };
};

/** The hosts a grant is for; null for a cluster that this console does not know. */
const hostsAt = (roster: HostRoster, { chain }: AccessBook, text: string): readonly ManagedHost[] | null => {
  const level = parseLevel(text);
  const members = new Map(chain.body?.clusters.map(({ id, agentIds }) => [id, new Set(agentIds)]) ?? []);
  if (level?.kind === 'cluster' && !members.has(level.id)) return null;
  return roster.all.filter(({ record }) => level !== null && coversLevel(level, { kind: 'host', id: record.hostId }, members));
};
