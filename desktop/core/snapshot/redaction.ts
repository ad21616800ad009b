/**
 * What a snapshot leaves out and what it masks. A masked value is a keyed HMAC of the value: equal values stay equal, also between two
 * files of the same console, so comparisons work; without the key nobody can try values out.
 */
import { createHash, createHmac } from 'node:crypto';
import { addressFromBytes, addressToBytes, formatAddress, parseAddress } from '../../../native/image/api.ts';
import type { SnapshotProfile } from '../../../proto/model/snapshot-profile.ts';
import type { FlowList, PolicyRevision } from '../../bridge/model.ts';
import type { CachedDocument } from '../cache/fleet-cache.ts';
import type { Reading } from '../telemetry/reading.ts';
import type { SnapshotDocumentKind, SnapshotDocuments } from './snapshot-content.ts';

/** Documents of a host by profile. */
export const profileDocuments: Readonly<Record<SnapshotProfile, readonly SnapshotDocumentKind[]>> = {
  inventory: ['host', 'sample'],
  config: ['host', 'sample', 'policy', 'revisions', 'deny-lists'],
  diagnostic: ['host', 'sample', 'policy', 'revisions', 'deny-lists', 'counters', 'balancers', 'flows'],
  full: ['host', 'sample', 'policy', 'revisions', 'deny-lists', 'counters', 'balancers', 'flows'],
};

/** Values remembered; addresses of flows repeat. */
const rememberedMax = 50_000;
/** Hexadecimal digits of a mask: enough that two values of a fleet do not meet. */
const maskDigits = 16;
/** Of an address in a flow stays the network: IPv4 its first 24 bits, IPv6 its first 64. */
const keptBytes = { 4: 3, 16: 8 } as const;
/** Fields of a policy that hold what people write, not what the data path does. */
const freeText =
  /^(justification|ticket|requestedBy|approvedBy|comment|description|owner|contact|password|secret|token|apiKey|privateKey)$/;
const hasFreeText =
  /"(justification|ticket|requestedBy|approvedBy|comment|description|owner|contact|password|secret|token|apiKey|privateKey)"/;

export interface Redaction {
  /** Tells masks of one key from those of another; empty when nothing is masked. */
  readonly keyId: Buffer;
  readonly text: (value: string) => string;
  readonly policy: (text: string) => string;
  readonly documents: (
    documents: SnapshotDocuments,
    limits: RedactionLimits,
  ) => { readonly documents: SnapshotDocuments; readonly leftFlows: number };
}

export interface RedactionLimits {
  /** Of each host, the newest. */
  readonly flows: number;
  /** Points of history of each host, the newest. */
  readonly history: number;
}

/** `key`: 32 bytes that never leave the console. */
export const createRedaction = (profile: SnapshotProfile, key: Uint8Array): Redaction => {
  const masks = profile === 'full' ? null : createMasks(key);
  const allowed = new Set<string>(profileDocuments[profile]);
  return {
    keyId: masks === null ? Buffer.alloc(0) : createHash('sha256').update('nest snapshot mask 1').update(key).digest().subarray(0, 8),
    text: masks?.text ?? same,
    policy: (text) => (masks === null || !hasFreeText.test(text) ? text : maskedPolicy(text, masks)),
    documents: (all, limits) => {
      let leftFlows = 0;
      const kept = Object.entries(all).flatMap(([kind, document]): [string, CachedDocument<unknown>][] => {
        if (!allowed.has(kind)) return [];
        const { at, content } = document;
        if (kind === 'sample') return [[kind, { at, content: sampleOf(content as Reading, limits, masks) }]];
        if (kind === 'policy') return [[kind, { at, content: revisionOf(content as PolicyRevision, masks) }]];
        if (kind === 'revisions')
          return [[kind, { at, content: (content as readonly PolicyRevision[]).map((one) => revisionOf(one, masks)) }]];
        if (kind !== 'flows') return [[kind, document]];
        const list = content as FlowList;
        leftFlows += Math.max(0, list.flows.length - limits.flows);
        return [[kind, { at, content: flowsOf(list, limits, masks) }]];
      });
      return { documents: Object.fromEntries(kept), leftFlows };
    },
  };
};

interface Masks {
  readonly text: (value: string) => string;
  /** Its network, and something else in it. */
  readonly address: (value: string) => string;
  readonly mac: (value: string) => string;
}

const same = (value: string): string => value;

const createMasks = (key: Uint8Array): Masks => {
  const remembered = new Map<string, string>();
  const digest = (label: string, value: string): Buffer => createHmac('sha256', key).update(label).update('\0').update(value).digest();
  const once = (label: string, make: (value: string) => string) => (value: string) => {
    if (value === '') return value;
    const name = `${label} ${value}`;
    const known = remembered.get(name);
    if (known !== undefined) return known;
    if (remembered.size >= rememberedMax) remembered.clear();
    const made = make(value);
    remembered.set(name, made);
    return made;
  };
  return {
    text: once('text', (value) => `masked-${digest('text', value).toString('hex').slice(0, maskDigits)}`),
    address: once('address', (value) => {
      const parsed = parseAddress(value);
      if (parsed === undefined) return '';
      const bytes = addressToBytes(parsed);
      const mask = digest('address', formatAddress(parsed));
      const kept = bytes.length === 4 ? keptBytes[4] : keptBytes[16];
      const masked = bytes.map((byte, index) => (index < kept ? byte : (mask[index] ?? 0)));
      const address = addressFromBytes(masked);
      return address === undefined ? '' : formatAddress(address);
    }),
    // Locally administered, as nobody's card is.
    mac: once('mac', (value) => ['02', ...(digest('mac', value).toString('hex').slice(0, 10).match(/../g) ?? [])].join(':')),
  };
};

const revisionOf = (revision: PolicyRevision, masks: Masks | null): PolicyRevision => {
  const text = masks?.text ?? same;
  const { author, comment, settledReason } = revision;
  // The text of the policy goes into a blob of its own.
  return { ...revision, policy: '', author: text(author), comment: text(comment), settledReason: text(settledReason) };
};

const sampleOf = (reading: Reading, { history }: RedactionLimits, masks: Masks | null): Reading => ({
  ...reading,
  interfaces: masks === null ? reading.interfaces : reading.interfaces.map((one) => ({ ...one, macAddress: masks.mac(one.macAddress) })),
  history: last(reading.history, history),
  packetsHistory: [],
  pendingTransactionId: '',
});

const flowsOf = (list: FlowList, { flows }: RedactionLimits, masks: Masks | null): FlowList => {
  const newest = list.flows.length > flows ? list.flows.toSorted((a, b) => b.lastSeen - a.lastSeen).slice(0, flows) : list.flows;
  return {
    ...list,
    live: false,
    truncated: list.truncated || newest.length < list.flows.length,
    flows:
      masks === null
        ? newest
        : newest.map((flow) => ({
            ...flow,
            source: masks.address(flow.source),
            destination: masks.address(flow.destination),
            translation:
              flow.translation === null
                ? null
                : {
                    ...flow.translation,
                    source: masks.address(flow.translation.source),
                    destination: masks.address(flow.translation.destination),
                  },
          })),
  };
};

const last = <Item>(items: readonly Item[], count: number): readonly Item[] => (count === 0 ? [] : items.slice(-count));

/** A policy that is no JSON is masked as a whole. */
const maskedPolicy = (policy: string, masks: Masks): string => {
  try {
    return JSON.stringify(
      JSON.parse(policy, (key, value: unknown) => (typeof value === 'string' && freeText.test(key) ? masks.text(value) : value)),
    );
  } catch {
    return '';
  }
};
