import type { CheckedMapping, Policy } from '../../../engine/api.ts';

type Backends = NonNullable<CheckedMapping['backends']>;

/** One backend where the table image has it. */
export interface BackendPlace {
  readonly mapping: CheckedMapping;
  readonly backend: Backends[number];
}

/**
 * The backends of a policy by their index in its table image: balancing mappings by name, then backends by name
 * (bpf/include/nest/image.h, sections 9 and 10).
 */
export const backendPlaces = (policy: Policy): readonly BackendPlace[] =>
  byName(policy.mappings.filter(({ action }) => action === 'balance')).flatMap((mapping) =>
    byName(mapping.backends ?? []).map((backend) => ({ mapping, backend })),
  );

/** Names have ASCII letters alone, so the order of code units is that of bytes. */
const byName = <Entry extends { readonly name: string }>(entries: readonly Entry[]): readonly Entry[] =>
  entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
