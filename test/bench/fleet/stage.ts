/** What a console process holds between two orders. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FleetKeys } from '../../../desktop/core/authority/fleet-authority.ts';
import { withDocumentBuffer } from '../../../desktop/core/cache/document-buffer.ts';
import { openFleetCache } from '../../../desktop/core/cache/sqlite-fleet-cache.ts';
import type { FleetCache, HostRecord } from '../../../desktop/core/cache/fleet-cache.ts';
import { HostRoster } from '../../../desktop/core/hosts/host-roster.ts';
import { createOperatorIdentity, openShardThread } from '../../../desktop/grpc/api.ts';
import type { OperatorIdentity } from '../../../desktop/grpc/api.ts';
import { systemClock, systemRandom } from '../../../desktop/lib/api.ts';
import type { ConsoleOrders } from './console-orders.ts';

export interface OpenStage {
  readonly roster: HostRoster;
  readonly operator: OperatorIdentity;
  readonly keys: FleetKeys;
  readonly records: readonly HostRecord[];
  readonly cache: FleetCache;
}

export interface Stage {
  open(request: ConsoleOrders['open']['request']): Promise<{ readonly hosts: number }>;
  /** Raises when nothing was opened. */
  readonly current: OpenStage;
}

/** An empty stage. */
export const createStage = (): Stage => {
  let current: OpenStage | null = null;
  return {
    open: async ({ dataDirectory, keys, from, to, via, operator: as = keys.operator }) => {
      const clock = systemClock();
      const report = (message: string, fields: Readonly<Record<string, unknown>>): void =>
        void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
      // A copy of its own: two consoles that write to one file wait for each other.
      const path = join(dataDirectory, `bench-${process.pid}.sqlite`);
      copyFileSync(join(dataDirectory, 'fleet.sqlite'), path);
      const cache = withDocumentBuffer(openFleetCache(path, Date.now()).cache, { clock, report });
      const records = cache
        .hosts()
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .slice(from, to)
        .map((record, index) => (via !== undefined && index === 0 ? { ...record, ...via } : record));
      const roster = new HostRoster({
        // Only its share of the inventory; the rest of the cache is the product's own.
        cache: { ...cache, hosts: () => records },
        clock,
        random: systemRandom,
        consoleVersion: '0.0.0-bench',
        // As the console itself does: a big fleet's connections are in threads of their own.
        openShard: () => openShardThread(new URL('../../../dist/desktop/shard/shard.mjs', import.meta.url)),
        report,
      });
      const operator = createOperatorIdentity({
        fleetRoot: keys.root.certificate,
        certificate: as.certificate,
        privateKey: as.privateKey,
      });
      current = { roster, operator, keys, records, cache };
      return { hosts: records.length };
    },
    get current() {
      if (current === null) throw new Error('Nothing is open.');
      return current;
    },
  };
};
