/** From a checked policy to the table image. */
import { compileTreatments } from './action-compiler.ts';
import { compileDenyLists, liveLists, prefixesByList } from './deny-compiler.ts';
import type { DenyOptions } from './deny-compiler.ts';
import type { PolicyDenyList } from './deny-schema.ts';
import { encodeImage } from './image-encoder.ts';
import type { DenyTables } from './image-content.ts';
import { deny4Bytes, deny6Bytes, identity4Bytes, identity6Bytes } from './limits.ts';
import type { Policy } from './policy-schema.ts';
import { PolicyTables } from './policy-tables.ts';
import { isSameValue } from './same-value.ts';

export interface CompiledStats {
  readonly identities4: number;
  readonly identities6: number;
  readonly sourceClasses: number;
  readonly destinationClasses: number;
  readonly pairs: number;
  readonly portIntervals: number;
  readonly mappings: number;
  readonly denyPrefixes4: number;
  readonly denyPrefixes6: number;
  readonly balancers: number;
  readonly backends: number;
  readonly imageBytes: number;
}

export interface CompiledPolicy {
  /** Content-addressed: see `generationOf`. */
  readonly image: Uint8Array;
  readonly stats: CompiledStats;
  /** Mapping names; the position is the index in matches and counters. */
  readonly names: readonly string[];
  /** Deny lists in the order of their counters, with the prefixes that are theirs: one in two lists belongs to the first. */
  readonly denyLists: readonly { readonly name: string; readonly prefixes: number }[];
}

/** Compiles one policy after another, and gives the same bytes as `compilePolicy` sooner when little has changed. */
export interface PolicyCompiler {
  /** As `compilePolicy`. Files of deny lists must not be written to afterwards. */
  compile(policy: Policy, options?: DenyOptions): CompiledPolicy;
}

/**
 * Compiles a policy. The bytes depend on its meaning alone, not on the order or repetition of entries in the document.
 * Raises POLICY_TOO_LARGE with details { mapping, limit, max } or { denyList, limit, max }, and POLICY_INVALID for a deny list
 * file that is missing or malformed.
 */
export const compilePolicy = (policy: Policy, options: DenyOptions = {}): CompiledPolicy =>
  assemble(new PolicyTables(policy), policy, compileDenyLists(policy.denyLists, options));

/** A compiler that keeps the tables of the last policy: some tens of MB for one of a million pairs. */
export const createPolicyCompiler = (): PolicyCompiler => {
  let tables: PolicyTables | undefined;
  const deny = new DenyMemory();
  return {
    compile: (policy, options = {}) => {
      const before = tables;
      tables = undefined;
      const isAdvanced = before?.advance(policy) ?? false;
      const current = isAdvanced && before !== undefined ? before : new PolicyTables(policy);
      const compiled = assemble(current, policy, deny.compile(policy.denyLists, options));
      tables = current;
      return compiled;
    },
  };
};

const assemble = (tables: PolicyTables, policy: Policy, deny: DenyTables): CompiledPolicy => {
  const { mappings, names, frame, sections } = tables;
  const treatments = compileTreatments(mappings);
  const image = encodeImage({
    isEmpty: mappings.length === 0 && policy.defaultAction === 'allow' && deny.names.length === 0,
    isDefaultDeny: policy.defaultAction === 'deny',
    frame,
    ...sections,
    mappings,
    ...treatments,
    deny,
  });
  const stats = {
    identities4: frame.identities4.length / identity4Bytes,
    identities6: frame.identities6.length / identity6Bytes,
    sourceClasses: frame.sourceClasses,
    destinationClasses: frame.destinationClasses,
    pairs: sections.pairs.length,
    portIntervals: sections.portIntervals.length / 2,
    mappings: mappings.length,
    denyPrefixes4: deny.rows4.length / deny4Bytes,
    denyPrefixes6: deny.rows6.length / deny6Bytes,
    balancers: treatments.balancers.length,
    backends: treatments.backends.length,
    imageBytes: image.length,
  };
  return { image, stats, names, denyLists: prefixesByList(deny) };
};

interface DenyPart {
  readonly list: PolicyDenyList;
  readonly file: string | Uint8Array | undefined;
}

/** The deny tables of the last compilation, for as long as lists and files stay the same. */
class DenyMemory {
  #parts: readonly DenyPart[] = [];
  #tables: DenyTables | undefined;

  compile(lists: readonly PolicyDenyList[], options: DenyOptions): DenyTables {
    const parts = liveLists(lists, options.now).map(({ list }) => ({
      list,
      file: list.file === undefined ? undefined : options.denyFiles?.get(list.file),
    }));
    const isComplete = options.denyFiles === undefined || parts.every(({ list, file }) => list.file === undefined || file !== undefined);
    const isSame =
      isComplete && parts.length === this.#parts.length && parts.every((part, position) => isSamePart(part, this.#parts[position]));
    if (this.#tables !== undefined && isSame) return this.#tables;
    this.#tables = compileDenyLists(lists, options);
    this.#parts = parts;
    return this.#tables;
  }
}

const isSamePart = (a: DenyPart, b: DenyPart | undefined): boolean =>
  b !== undefined && isSameValue(a.list, b.list) && (a.file === b.file || isSameFile(a.file, b.file));

const isSameFile = (a: string | Uint8Array | undefined, b: string | Uint8Array | undefined): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((byte, position) => byte === b[position]);
