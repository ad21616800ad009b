/** What it takes to carry an access bundle to every host, and when who lost his rights notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AccessBook } from '../../../desktop/core/access/access-book.ts';
import { AccessSync } from '../../../desktop/core/access/access-sync.ts';
import { operatorSlug } from '../../../desktop/core/authority/fleet-authority.ts';
import { systemClock, systemRandom } from '../../../desktop/lib/api.ts';
import { rootTrustOf } from '../../../proto/model/root-change.ts';
import type { OrderHandlers } from './console-orders.ts';
import { percentile } from './gauge.ts';
import type { Stage } from './stage.ts';

const allCurrentMs = 2 * 60_000;
const pollMs = 20;

const complain = (message: string, fields: Readonly<Record<string, unknown>>): void =>
  void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);

/** Handlers over the stage. */
export const accessMeasurements = (stage: Stage): Pick<OrderHandlers, 'govern' | 'watchCut' | 'cut'> => {
  let governed: { readonly book: AccessBook; readonly sync: AccessSync } | null = null;
  let cuts: { readonly at: Map<string, number>; told: number } | null = null;
  const govern = (): { readonly book: AccessBook; readonly sync: AccessSync } => {
    if (governed !== null) return governed;
    const { keys, roster, cache } = stage.current;
    const clock = systemClock();
    const trust = rootTrustOf(keys.root.certificate, null);
    const subject = `operator/${operatorSlug(keys.operatorName)}`;
    const book = new AccessBook({
      cache,
      clock,
      random: systemRandom,
      fleetId: keys.fleetId,
      rootKey: () => keys.root.privateKey,
      trust: () => trust,
      subject,
      ownerKey: keys.owner ?? null,
    });
    const sync = new AccessSync({ book, roster, clock, report: complain });
    sync.start();
    governed = { book, sync };
    return governed;
  };
  return {
    govern: async ({ change }) => {
      const { book, sync } = govern();
      const at = Date.now();
      if (change !== null) book.change(change);
      await until(
        () => sync.states().every(({ state }) => state === 'current'),
        () => JSON.stringify(sync.states().find(({ state }) => state !== 'current')),
      );
      return { at, lockId: book.chain.body?.locks.at(-1)?.id ?? '' };
    },
    watchCut: async () => {
      const { roster } = stage.current;
      const noted = { at: new Map<string, number>(), told: 0 };
      cuts = noted;
      for (const host of roster.all) {
        const { hostId } = host.record;
        const follow = async (): Promise<void> => {
          for await (const _change of host.changes(AbortSignal.timeout(allCurrentMs))) {
            const link = host.linkState;
            if (link?.kind !== 'down' || noted.at.has(hostId)) continue;
            noted.at.set(hostId, Date.now());
            if (link.error.code === 'REVOKED') noted.told += 1;
            return;
          }
        };
        void follow();
      }
      return null;
    },
    cut: async () => {
      const noted = cuts;
      if (noted === null) throw new Error('Nothing was watched.');
      const { size } = stage.current.roster;
      await until(
        () => noted.at.size === size.value,
        () => `${noted.at.size} of ${size.value} were cut`,
      );
      const times = [...noted.at.values()];
      return { firstAt: percentile(times, 0), medianAt: percentile(times, 0.5), lastAt: percentile(times, 1), told: noted.told };
    },
  };
};

const until = async (isReached: () => boolean, describe: () => string): Promise<void> => {
  const deadline = performance.now() + allCurrentMs;
  while (!isReached()) {
    if (performance.now() > deadline) throw new Error(`not in ${allCurrentMs / 1000} s: ${describe()}`);
    await sleep(pollMs);
  }
};
