/**
 * The meaning of a policy document, as plainly as it can be said: look at every mapping, keep the best. No tables, no
 * classes, no sharing with the compiler beyond the type of the document.
 */
import type { PolicyDocument, PolicyMapping } from '../../native/image/policy-schema.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { addressBytes } from './packet.ts';

export interface ReferenceTuple {
  /** 4 or 16 bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** IP protocol number. */
  readonly protocol: number;
  readonly destinationPort: number;
}

export interface ReferenceJudgement {
  readonly isAllowed: boolean;
  readonly reason: ReasonName;
  /** Undefined = default action. */
  readonly mapping: string | undefined;
  /** The mapping of that name. */
  readonly rule: PolicyMapping | undefined;
}

interface Network {
  readonly bits: number;
  readonly value: bigint;
  readonly length: number;
}

interface Rule {
  readonly mapping: PolicyMapping;
  readonly ports: readonly (readonly [number, number])[];
}

export class ReferencePolicy {
  readonly #document: PolicyDocument;
  readonly #networks: ReadonlyMap<string, readonly Network[]>;
  readonly #rules: readonly Rule[];
  readonly #denied: readonly Network[];

  constructor(document: PolicyDocument) {
    this.#document = document;
    this.#networks = new Map(document.services.map(({ name, addresses }) => [name, addresses.map(toNetwork)]));
    this.#denied = (document.denyLists ?? []).flatMap(({ prefixes }) => prefixes ?? []).map(toNetwork);
    this.#rules = document.mappings.map((mapping) => ({
      mapping,
      ports: (mapping.ports ?? []).flatMap((entry) => entry.split(',').map(toRange)),
    }));
  }

  /** True when nothing is said: nothing is dropped, not even what cannot be read. */
  get isEmpty(): boolean {
    return this.#document.mappings.length === 0 && this.#document.defaultAction === 'allow';
  }

  /** True when the address is on a deny list. */
  denies(address: Uint8Array): boolean {
    return isInside(this.#denied, address);
  }

  /** The verdict on the first packet of a flow. */
  judge(tuple: ReferenceTuple): ReferenceJudgement {
    let best: PolicyMapping | undefined;
    for (const rule of this.#rules) {
      if (this.#matches(rule, tuple) && (best === undefined || beats(rule.mapping, best))) best = rule.mapping;
    }
    const isAllowed = (best?.action ?? this.#document.defaultAction) !== 'deny';
    if (best === undefined) return { isAllowed, reason: isAllowed ? 'DEFAULT_ALLOW' : 'DEFAULT_DENY', mapping: undefined, rule: undefined };
    return { isAllowed, reason: isAllowed ? 'POLICY_ALLOW' : 'POLICY_DENY', mapping: best.name, rule: best };
  }

  #matches({ mapping, ports }: Rule, tuple: ReferenceTuple): boolean {
    if (!this.#contains(mapping.sources, tuple.source) || !this.#contains(mapping.destinations, tuple.destination)) return false;
    const isPorted = tuple.protocol === 6 || tuple.protocol === 17;
    const isIcmp = tuple.protocol === (tuple.source.length === 4 ? 1 : 58);
    const isProtocol = mapping.protocols.some(
      (protocol) =>
        protocol === 'any' ||
        (protocol === 'tcp' && tuple.protocol === 6) ||
        (protocol === 'udp' && tuple.protocol === 17) ||
        (protocol === 'icmp' && isIcmp),
    );
    if (!isProtocol) return false;
    return (
      ports.length === 0 || (isPorted && ports.some(([first, last]) => first <= tuple.destinationPort && tuple.destinationPort <= last))
    );
  }

  #contains(names: readonly string[], address: Uint8Array): boolean {
    return names.some((name) => name === 'any' || isInside(this.#networks.get(name) ?? [], address));
  }
}

const isInside = (networks: readonly Network[], address: Uint8Array): boolean => {
  const bits = address.length * 8;
  const value = toBigInt(address);
  return networks.some(
    (network) => network.bits === bits && value >> BigInt(bits - network.length) === network.value >> BigInt(bits - network.length),
  );
};

/** Higher priority, then deny, then the name that sorts first. */
const beats = (a: PolicyMapping, b: PolicyMapping): boolean => {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if ((a.action === 'deny') !== (b.action === 'deny')) return a.action === 'deny';
  return a.name < b.name;
};

const toNetwork = (text: string): Network => {
  const [address = '', length] = text.split('/');
  const bytes = addressBytes(address);
  return { bits: bytes.length * 8, value: toBigInt(bytes), length: length === undefined ? bytes.length * 8 : Number(length) };
};

const toRange = (text: string): readonly [number, number] => {
  const [first = '', last = first] = text.split('-');
  return [Number(first), Number(last)];
};

const toBigInt = (bytes: Uint8Array): bigint => bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
