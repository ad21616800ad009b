/** What a mapping does beyond allow and deny: balancing, rate limit, DSCP, source NAT. Types and schema. */
import { z } from 'zod';

import { parseAddress } from './address.ts';
import type { Address } from './address.ts';
import { backendWeightMax, burstBytesMax, bytesPerSecondMax, packetsPerSecondMax, portMax } from './limits.ts';
import { checkedString, nameSchema, unknownKeys } from './schema-checks.ts';

export type PolicyBackendState = 'up' | 'drain' | 'down';
export type PolicyAffinity = 'none' | 'source';
export type PolicyNat = 'dnat' | 'full' | 'dsr';
export type PolicyDscp = 'P0' | 'P1' | 'P2' | 'P3';

export interface PolicyBackend {
  /** Unique in its mapping. */
  readonly name: string;
  readonly address: string;
  /** Absent = the port of the packet. */
  readonly port?: number | undefined;
  /** Share of new flows, 0..1000; absent = 1, 0 = gets none. */
  readonly weight?: number | undefined;
  /** Absent = "up"; "drain" keeps its flows and gets no new ones, "down" gives them away. */
  readonly state?: PolicyBackendState | undefined;
}

export interface PolicyHealthCheck {
  readonly kind: 'tcp' | 'http' | 'icmp';
  /** Of an http check; absent = "/". */
  readonly path?: string | undefined;
  /** 100..3,600,000; absent = 1000. */
  readonly intervalMs?: number | undefined;
  /** 10..60,000, at most the interval; absent = 500, or the interval when that is shorter. */
  readonly timeoutMs?: number | undefined;
  /** Good answers in a row until a backend is up, 1..100; absent = 2. */
  readonly rise?: number | undefined;
  /** Bad ones until it is down, 1..100; absent = 3. */
  readonly fall?: number | undefined;
}

export interface PolicyRateLimit {
  /** At least one of the two rates. */
  readonly packetsPerSecond?: number | undefined;
  /** Of the length on the wire, from the Ethernet header on. */
  readonly bytesPerSecond?: number | undefined;
  /** Packets that may come at once, bytes without `packetsPerSecond`; absent = 100 ms of the rate. */
  readonly burst?: number | undefined;
  /** "source": each IPv4 address and each IPv6 /64 has the limit for itself. Absent = "mapping". */
  readonly per?: 'mapping' | 'source' | undefined;
}

/** Beside the fields that every mapping has. */
export interface PolicyTreatment {
  /** Of action "balance" alone: */
  readonly backends?: readonly PolicyBackend[] | undefined;
  /** "source": all flows of one source address go to one backend. Absent = "none". */
  readonly affinity?: PolicyAffinity | undefined;
  /** Absent = "dnat". */
  readonly nat?: PolicyNat | undefined;
  readonly healthCheck?: PolicyHealthCheck | undefined;
  /** Of any mapping that allows: */
  readonly rateLimit?: PolicyRateLimit | undefined;
  readonly dscp?: PolicyDscp | undefined;
  /** "masquerade" = the address of the interface the packet leaves by, or an address. */
  readonly sourceNat?: string | undefined;
}

/** The value of `sourceNat` that is no address. */
export const masquerade = 'masquerade';

const backendKeys = ['name', 'address', 'port', 'weight', 'state'];
const healthCheckKeys = ['kind', 'path', 'intervalMs', 'timeoutMs', 'rise', 'fall'];
const rateLimitKeys = ['packetsPerSecond', 'bytesPerSecond', 'burst', 'per'];

/** Keys of {@link PolicyTreatment}. */
export const treatmentKeys = ['backends', 'affinity', 'nat', 'healthCheck', 'rateLimit', 'dscp', 'sourceNat'];

/** Why an address cannot stand in a packet as one host's; undefined when it can. */
export const hostProblem = (address: Address): string | undefined => {
  const [first, second, third, fourth] = address.words;
  if (address.family === 4) {
    if (first >>> 24 === 0) return 'belongs to "this network"';
    if (first >>> 24 === 127) return 'is a loopback address, which no packet from outside may have';
    if (first >>> 28 === 14) return 'is a multicast address';
    if (first >>> 16 === 0xa9fe) return 'is a link-local address, which holds on one link alone';
    return first >>> 28 === 15 ? 'is reserved or a broadcast address' : undefined;
  }
  if (first === 0 && second === 0 && third === 0 && fourth <= 1) return fourth === 0 ? 'is no address of a host' : 'is a loopback address';
  if (first === 0 && second === 0 && third === 0xffff) return 'is an IPv4-mapped address: write the IPv4 address';
  if (first >>> 22 === 0x3fa) return 'is a link-local address, which holds on one link alone';
  return first >>> 24 === 0xff ? 'is a multicast address' : undefined;
};

const hostSchema = (code: string, next: string) =>
  checkedString((text) => {
    if (code === 'SOURCE_NAT_INVALID' && text === masquerade) return undefined;
    const address = parseAddress(text);
    const shown = JSON.stringify(text.slice(0, 63));
    if (address === undefined) return { code, message: `${shown} is not an address: ${next}` };
    const problem = hostProblem(address);
    return problem === undefined ? undefined : { code, message: `${text} ${problem}: ${next}` };
  });

const backendSchema = z.strictObject(
  {
    name: nameSchema,
    address: hostSchema('BACKEND_ADDRESS_INVALID', 'write the address of one server, for instance 198.18.4.7 or 2001:db8::7.'),
    port: z.int().min(1).max(portMax).optional(),
    weight: z.int().min(0).max(backendWeightMax).default(1),
    state: z.enum(['up', 'drain', 'down']).default('up'),
  },
  { error: unknownKeys(backendKeys) },
);

const pathMax = 1024;

const healthCheckSchema = z.strictObject(
  {
    kind: z.enum(['tcp', 'http', 'icmp']),
    path: checkedString((path) =>
      /^\/[\x21-\x7e]*$/.test(path) && path.length <= pathMax
        ? undefined
        : {
            code: 'PATH_INVALID',
            message: `Write a path such as "/health": it starts with "/", has no blanks and at most 1,024 characters.`,
          },
    ).optional(),
    intervalMs: z.int().min(100).max(3_600_000).optional(),
    timeoutMs: z.int().min(10).max(60_000).optional(),
    rise: z.int().min(1).max(100).default(2),
    fall: z.int().min(1).max(100).default(3),
  },
  { error: unknownKeys(healthCheckKeys) },
);

const rateLimitSchema = z.strictObject(
  {
    packetsPerSecond: z.int().min(1).max(packetsPerSecondMax).optional(),
    bytesPerSecond: z.int().min(1).max(bytesPerSecondMax).optional(),
    burst: z.int().min(1).max(burstBytesMax).optional(),
    per: z.enum(['mapping', 'source']).default('mapping'),
  },
  { error: unknownKeys(rateLimitKeys) },
);

/** Fields of a mapping for {@link PolicyTreatment}. What they say together is checked in action-problems.ts. */
export const treatmentFields = {
  backends: z.array(backendSchema).min(1).optional(),
  affinity: z.enum(['none', 'source']).optional(),
  nat: z.enum(['dnat', 'full', 'dsr']).optional(),
  healthCheck: healthCheckSchema.optional(),
  rateLimit: rateLimitSchema.optional(),
  dscp: z.enum(['P0', 'P1', 'P2', 'P3']).optional(),
  sourceNat: hostSchema('SOURCE_NAT_INVALID', 'write "masquerade" or the address that packets shall come from.').optional(),
};

/** Ranges of number fields, by name, for messages. */
export const numberRanges: Readonly<Record<string, readonly [min: number, max: number]>> = {
  port: [1, portMax],
  weight: [0, backendWeightMax],
  intervalMs: [100, 3_600_000],
  timeoutMs: [10, 60_000],
  rise: [1, 100],
  fall: [1, 100],
  packetsPerSecond: [1, packetsPerSecondMax],
  bytesPerSecond: [1, bytesPerSecondMax],
  burst: [1, burstBytesMax],
};

/** A health check with everything said. */
export interface CompleteHealthCheck {
  readonly kind: 'tcp' | 'http' | 'icmp';
  /** Empty unless http. */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
}

/** Fills in the defaults: a second between checks, half of one for the answer. */
export const completeHealthCheck = (check: PolicyHealthCheck): CompleteHealthCheck => {
  const intervalMs = check.intervalMs ?? 1000;
  return {
    kind: check.kind,
    path: check.kind === 'http' ? (check.path ?? '/') : '',
    intervalMs,
    timeoutMs: check.timeoutMs ?? Math.min(500, intervalMs),
    rise: check.rise ?? 2,
    fall: check.fall ?? 3,
  };
};
