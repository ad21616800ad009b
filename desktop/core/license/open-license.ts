/** The licence desk of a fleet that was just unlocked. */
import { hostname } from 'node:os';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { AccessBook } from '../access/access-book.ts';
import { sealOf } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { LicenseDesk } from './license-desk.ts';
import type { LicenseUse } from './entitlement.ts';
import { createLicenseStore } from './license-memory.ts';
import { createLicenseServer } from './license-server.ts';
import type { LicenseSettings } from './license-settings.ts';

export interface OpenLicenseOptions {
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly licensing: { readonly settings: LicenseSettings; readonly version: string };
  /** False in a process that ends soon: it asks only when told to. */
  readonly isAskingByItself: boolean;
}

/** Started, unless this process ends soon. The caller closes it. */
export const openLicense = (keysNow: () => FleetKeys, book: AccessBook, options: OpenLicenseOptions): LicenseDesk => {
  const { cache, clock, random, report } = options;
  const { settings, version } = options.licensing;
  const keys = keysNow();
  const { serverUrl, product } = settings;
  const desk = new LicenseDesk({
    settings,
    server: serverUrl === null ? null : createLicenseServer({ serverUrl, product, clock }),
    store: createLicenseStore(cache, sealOf(keys), random),
    fleetId: keys.fleetId,
    storedKey: () => keysNow().license ?? null,
    use: () => useOf(cache, book),
    clock,
    random,
    version,
    hostName: hostname(),
    report,
  });
  if (options.isAskingByItself) desk.start();
  return desk;
};

/** From what is kept, so that hosts another process has just enrolled count too. Clusters are those of hosts, by token or by access bundle. */
const useOf = (cache: FleetCache, book: AccessBook): LicenseUse => {
  const hosts = cache.hosts();
  const named = hosts.flatMap(({ cluster }) => (cluster === undefined ? [] : [cluster]));
  const bundled = (book.chain.body?.clusters ?? []).flatMap(({ id, agentIds }) => (agentIds.length === 0 ? [] : [id]));
  return { hosts: hosts.length, clusters: new Set([...named, ...bundled]) };
};
