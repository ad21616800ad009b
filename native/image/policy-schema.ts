/** The policy document and its schema. What one field alone can get wrong is here; what fields say together is in policy-problems.ts. */
import { z } from 'zod';

import { treatmentFields, treatmentKeys } from './action-schema.ts';
import type { PolicyBackend, PolicyBackendState, PolicyRateLimit, PolicyTreatment } from './action-schema.ts';
import { approvalSchema } from './approval-schema.ts';
import type { PolicyApproval } from './approval-schema.ts';
import { denyListSchema } from './deny-schema.ts';
import type { PolicyDenyList } from './deny-schema.ts';
import { priorityMax } from './limits.ts';
import { isPortProblem, parsePorts } from './port-range.ts';
import { checkedString, nameSchema, prefixProblem, unknownKeys } from './schema-checks.ts';

/** What happens when no mapping matches. */
export type PolicyDefaultAction = 'allow' | 'deny';
/** "balance" allows, and chooses a backend. */
export type PolicyAction = 'allow' | 'deny' | 'balance';
export type PolicyProtocol = 'tcp' | 'udp' | 'icmp' | 'any';

export interface PolicyService {
  readonly name: string;
  /** Addresses and CIDRs of both families. */
  readonly addresses: readonly string[];
}

export interface PolicyMapping extends PolicyTreatment {
  readonly name: string;
  /** Names of services, or "any". */
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly protocols: readonly PolicyProtocol[];
  /** Destination ports of TCP and UDP; absent or empty = all. */
  readonly ports?: readonly string[] | undefined;
  readonly action: PolicyAction;
  /** 0..1000, the highest wins. */
  readonly priority: number;
  /** Absent: the mapping needs none. */
  readonly approval?: PolicyApproval | undefined;
}

/** What a policy file contains. */
export interface PolicyDocument {
  readonly apiVersion: 'nest/v1';
  readonly kind: 'Policy';
  readonly defaultAction: PolicyDefaultAction;
  readonly services: readonly PolicyService[];
  readonly mappings: readonly PolicyMapping[];
  /** Traffic from and to these is dropped before any mapping is asked. */
  readonly denyLists?: readonly PolicyDenyList[] | undefined;
}

declare const checked: unique symbol;

export interface CheckedBackend extends PolicyBackend {
  readonly weight: number;
  readonly state: PolicyBackendState;
}

export interface CheckedRateLimit extends PolicyRateLimit {
  readonly per: 'mapping' | 'source';
}

export interface CheckedMapping extends PolicyMapping {
  readonly ports: readonly string[];
  /** There, and not empty, when the action is "balance". */
  readonly backends?: readonly CheckedBackend[] | undefined;
  readonly rateLimit?: CheckedRateLimit | undefined;
}

/** A document that was checked by `parsePolicy` and is frozen: nothing below it checks again. */
export interface Policy extends PolicyDocument {
  readonly mappings: readonly CheckedMapping[];
  readonly denyLists: readonly PolicyDenyList[];
  readonly [checked]: true;
}

const documentKeys = ['apiVersion', 'kind', 'defaultAction', 'services', 'mappings', 'denyLists'];
const serviceKeys = ['name', 'addresses'];
const mappingKeys = ['name', 'sources', 'destinations', 'protocols', 'ports', 'action', 'priority', 'approval', ...treatmentKeys];

const addressSchema = checkedString(prefixProblem);

const portsSchema = checkedString((text) => {
  const result = parsePorts(text);
  return isPortProblem(result) ? result : undefined;
});

const actionSchema = z.enum(['allow', 'deny', 'balance']);

const serviceSchema = z.strictObject({ name: nameSchema, addresses: z.array(addressSchema).min(1) }, { error: unknownKeys(serviceKeys) });

const mappingSchema = z.strictObject(
  {
    name: nameSchema,
    sources: z.array(z.string()).min(1),
    destinations: z.array(z.string()).min(1),
    protocols: z.array(z.enum(['tcp', 'udp', 'icmp', 'any'])).min(1),
    ports: z.array(portsSchema).default([]),
    action: actionSchema,
    priority: z.int().min(0).max(priorityMax),
    approval: approvalSchema.optional(),
    ...treatmentFields,
  },
  { error: unknownKeys(mappingKeys) },
);

/**
 * Shape of the document. `parsePolicy` also checks what fields say together (references, unique names, ports with icmp);
 * use the schema alone only to describe the document.
 */
export const policySchema = z.strictObject(
  {
    apiVersion: z.literal('nest/v1'),
    kind: z.literal('Policy'),
    defaultAction: z.enum(['allow', 'deny']),
    services: z.array(serviceSchema),
    mappings: z.array(mappingSchema),
    denyLists: z.array(denyListSchema).default([]),
  },
  { error: unknownKeys(documentKeys) },
);
