/** The roles every fleet has, under names that no custom role may take. */
import { accessResources } from './scope.ts';

export interface BuiltInRole {
  readonly name: string;
  readonly title: string;
  readonly scopes: readonly string[];
}

/** Secrets are read by who is told to, not by everybody who may look around. */
const isSecret = (resource: string): boolean => resource.endsWith('.secrets');
/** Who may do what is governed by admins alone. */
const maintained = ['hosts', 'mappings', 'telemetry', 'flows', 'logs', 'dbgw', 'rollouts', 'upgrade', 'snapshot'] as const;
const looked = accessResources.filter((resource) => !isSecret(resource)).map((resource) => `${resource}:read`);

export const builtInRoles: readonly BuiltInRole[] = [
  { name: 'admin', title: 'Everything', scopes: ['*:*'] },
  {
    name: 'maintainer',
    title: 'Changes hosts and mappings, governs nobody',
    scopes: [...looked, ...maintained.map((one) => `${one}:write`)],
  },
  { name: 'viewer', title: 'Looks at everything but secrets', scopes: looked },
];

const byName = new Map(builtInRoles.map((role) => [role.name, role]));

/** Undefined when the name is a custom role's, or nobody's. */
export const builtInRole = (name: string): BuiltInRole | undefined => byName.get(name);
