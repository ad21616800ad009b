/** Policies for the lab's network. */
import type { PolicyDocument, PolicyMapping, PolicyService } from '../../native/image/policy-schema.ts';

export const labServices: readonly PolicyService[] = [
  { name: 'clients', addresses: ['198.18.0.0/21', '198.18.120.0/24', '2001:db8:1::/48'] },
  { name: 'servers', addresses: ['198.19.0.0/21', '2001:db8:2::/48'] },
  { name: 'management', addresses: ['198.18.240.0/24'] },
];

/** From clients to servers, priority 100. */
export const labMapping = (name: string, mapping: Partial<PolicyMapping> & Pick<PolicyMapping, 'action'>): PolicyMapping => ({
  name,
  sources: ['clients'],
  destinations: ['servers'],
  protocols: ['any'],
  priority: 100,
  ...mapping,
});

/** The lab's services with these mappings; what matches none is allowed unless said otherwise. */
export const labPolicy = (mappings: readonly PolicyMapping[], defaultAction: 'allow' | 'deny' = 'allow'): PolicyDocument => ({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction,
  services: labServices,
  mappings,
});

export const emptyPolicy: PolicyDocument = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] };

/** Allows everything by a mapping, so that the hosts keep flows: with the empty policy they do not. */
export const watchingPolicy: PolicyDocument = labPolicy([
  labMapping('allow-all', { action: 'allow', sources: ['any'], destinations: ['any'], priority: 0 }),
]);
