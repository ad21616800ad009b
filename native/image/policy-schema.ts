/** The policy document and its schema. What one field alone can get wrong is here; what fields say together is in policy-problems.ts. */
import { z } from 'zod';

import { formatPrefix, isNetwork, networkOf, parsePrefix } from './address.ts';
import { priorityMax } from './limits.ts';
import { didYouMean } from './nearest-name.ts';
import { isPortProblem, parsePorts } from './port-range.ts';

export type PolicyAction = 'allow' | 'deny';
export type PolicyProtocol = 'tcp' | 'udp' | 'icmp' | 'any';

export interface PolicyService {
  readonly name: string;
  /** Addresses and CIDRs of both families. */
  readonly addresses: readonly string[];
}

export interface PolicyMapping {
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
}

/** What a policy file contains. */
export interface PolicyDocument {
  readonly apiVersion: 'nest/v1';
  readonly kind: 'Policy';
  readonly defaultAction: PolicyAction;
  readonly services: readonly PolicyService[];
  readonly mappings: readonly PolicyMapping[];
}

declare const checked: unique symbol;

export interface CheckedMapping extends PolicyMapping {
  readonly ports: readonly string[];
}

/** A document that was checked by `parsePolicy` and is frozen: nothing below it checks again. */
export interface Policy extends PolicyDocument {
  readonly mappings: readonly CheckedMapping[];
  readonly [checked]: true;
}

/** "any" in sources, destinations and protocols. */
export const anyName = 'any';

const documentKeys = ['apiVersion', 'kind', 'defaultAction', 'services', 'mappings'];
const serviceKeys = ['name', 'addresses'];
const mappingKeys = ['name', 'sources', 'destinations', 'protocols', 'ports', 'action', 'priority'];

/** Message for unknown keys, with the nearest known one. */
const unknownKeys =
  (known: readonly string[]) => (issue: { readonly code?: string | undefined; readonly keys?: readonly string[] | undefined }) =>
    issue.code === 'unrecognized_keys'
      ? (issue.keys ?? [])
          .slice(0, 5)
          .map((key) => `Unknown key ${JSON.stringify(key.slice(0, 63))}.${didYouMean(key, known)}`)
          .join(' ')
      : undefined;

/** A check of one string that reports a problem of ours: `params.code` is the problem's code. */
const checkedString = (check: (text: string) => { readonly code: string; readonly message: string } | undefined) =>
  z.string().superRefine((text, context) => {
    const problem = check(text);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem.message, params: { code: problem.code } });
  });

const nameSchema = checkedString((name) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) {
    return {
      code: 'NAME_INVALID',
      message: 'A name has 1 to 63 letters, digits, dots, dashes and underscores and starts with a letter or digit.',
    };
  }
  return name.toLowerCase() === anyName
    ? { code: 'NAME_RESERVED', message: '"any" stands for every address: choose another name.' }
    : undefined;
});

const addressSchema = checkedString((text) => {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    const shown = JSON.stringify(text.slice(0, 63));
    return {
      code: 'ADDRESS_INVALID',
      message: `${shown} is not an address or CIDR: write for instance 198.18.4.0/24, 198.18.4.7 or 2001:db8:4::/48.`,
    };
  }
  if (isNetwork(prefix)) return undefined;
  return {
    code: 'ADDRESS_HOST_BITS',
    message: `${text} has bits set behind its prefix length: write ${formatPrefix(networkOf(prefix))}, or leave the length out for the address alone.`,
  };
});

const portsSchema = checkedString((text) => {
  const result = parsePorts(text);
  return isPortProblem(result) ? result : undefined;
});

const actionSchema = z.enum(['allow', 'deny']);

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
    defaultAction: actionSchema,
    services: z.array(serviceSchema),
    mappings: z.array(mappingSchema),
  },
  { error: unknownKeys(documentKeys) },
);
