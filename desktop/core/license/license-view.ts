/** The licence as it is shown. */
import type { LicenseView } from '../../bridge/model.ts';
import { gatedFeatures } from './entitlement.ts';
import type { Entitlement, FileTerms, LicenseUse } from './entitlement.ts';
import { endingOf } from './license-key.ts';
import type { LicenseMemory } from './license-memory.ts';
import type { LicenseSettings } from './license-settings.ts';

export interface LicenseViewFacts {
  readonly at: number;
  readonly settings: LicenseSettings;
  readonly key: string | null;
  readonly entitlement: Entitlement;
  readonly file: FileTerms | null;
  readonly use: LicenseUse;
  readonly tried: LicenseMemory['tried'];
  readonly checkedAt: number | null;
  readonly nextCheckAt: number | null;
}

export const licenseViewOf = (facts: LicenseViewFacts): LicenseView => {
  const { settings, key, entitlement, file, use, tried } = facts;
  const { terms, state } = entitlement;
  return {
    at: facts.at,
    state,
    source: entitlement.source,
    product: settings.product,
    tier: terms?.tier ?? null,
    customer: terms === null || terms.customer === '' ? null : terms.customer,
    key: key === null ? null : { origin: settings.key === null ? 'vault' : 'environment', ending: endingOf(key) },
    endsAt: terms?.endsAt ?? null,
    until: entitlement.until,
    server: settings.serverUrl,
    checkedAt: facts.checkedAt,
    triedAt: tried?.at ?? null,
    nextCheckAt: facts.nextCheckAt,
    problem: tried === null || tried.code === null ? null : { code: tried.code, message: tried.message },
    notice: settings.problem === null ? entitlement.notice : { severity: 'warning', message: settings.problem },
    hosts: { used: use.hosts, max: entitlement.hostsMax },
    clusters: { used: use.clusters.size, max: entitlement.clustersMax },
    features: gatedFeatures.map((name) => ({ name, isOn: entitlement.features.includes(name) })),
    file: file === null ? null : { customer: file.terms.customer, endsAt: file.terms.endsAt },
  };
};
