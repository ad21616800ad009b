import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { NestError } from '../../../proto/model/error.ts';
import { policyBytesMax } from '../../../proto/model/limits.ts';
import { createPolicyCompiler, createPolicyReader, generationOf, openImage } from '../../engine/api.ts';
import type { CompiledPolicy, Policy, PolicyCompiler, PolicyImage, PolicyInForce, PolicyReader } from '../../engine/api.ts';
import type { TableStats } from './api.ts';
import type { SequenceRecord } from './counter-ledger.ts';

/** A policy document as everything that is made of it. */
export interface PolicyTables {
  /** As it is written. */
  readonly document: Policy;
  /** What of it is in force: without mappings that wait for their approval or have ended. */
  readonly policy: Policy;
  readonly terms: PolicyInForce;
  readonly image: Uint8Array;
  readonly generation: string;
  /** Judges as the data path would. */
  readonly judge: PolicyImage;
  readonly stats: TableStats;
  readonly record: SequenceRecord;
  /** Prefixes by deny list, in the order of the image. */
  readonly denyLists: CompiledPolicy['denyLists'];
}

/** Plan, apply and activate ask for the same document one after another. */
const tablesKept = 4;

/** Compiles documents and keeps the last few. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
export interface DocumentCompiler {
  compile(policyJson: string): Promise<PolicyTables>;
  /** The same document at another moment: other mappings of it may be in force. */
  again(tables: PolicyTables): Promise<PolicyTables>;
}

/** A compiler with a small memory, quick when a document differs little from the one before. `inForce`: what of a policy counts now. */
export const createDocumentCompiler = (inForce: (policy: Policy) => PolicyInForce): DocumentCompiler => {
  const reader = createPolicyReader();
  const compiler = createPolicyCompiler();
  const known = new Map<string, PolicyTables>();
  const tablesOf = async (document: Policy, before: PolicyTables | undefined): Promise<PolicyTables> => {
    const terms = inForce(document);
    const isSame = before !== undefined && isDeepStrictEqual(before.terms.withheld, terms.withheld);
    return isSame ? before : await compileTables({ document, terms }, compiler);
  };
  return {
    again: (tables) => tablesOf(tables.document, undefined),
    compile: async (policyJson) => {
      const key = createHash('sha256').update(policyJson).digest('hex');
      const found = known.get(key);
      const tables = await tablesOf(found?.document ?? (await readDocument(policyJson, reader)), found);
      known.delete(key);
      known.set(key, tables);
      for (const oldest of known.keys()) {
        if (known.size <= tablesKept) break;
        known.delete(oldest);
      }
      return tables;
    },
  };
};

/** The document as data. Raises POLICY_TOO_LARGE, POLICY_INVALID. */
export const parseDocument = (policyJson: string): unknown => {
  const bytes = Buffer.byteLength(policyJson);
  if (bytes > policyBytesMax) {
    throw new NestError(
      'POLICY_TOO_LARGE',
      `The policy document has ${bytes.toLocaleString('en-US')} bytes and ${policyBytesMax.toLocaleString('en-US')} are allowed: write wider services, or split it over hosts.`,
      {
        details: { limit: 'documentBytes', max: policyBytesMax },
      },
    );
  }
  try {
    return JSON.parse(policyJson);
  } catch (cause) {
    const message = `The policy is not JSON: ${cause instanceof Error ? cause.message : 'it cannot be read'}. Correct it and try again.`;
    throw new NestError('POLICY_INVALID', message, { cause, details: { problems: [{ path: '', code: 'JSON_INVALID', message }] } });
  }
};

/** Large policies take a good part of a second: timers and calls get their turn between the steps. */
const readDocument = async (policyJson: string, reader: PolicyReader): Promise<Policy> => {
  const document = parseDocument(policyJson);
  await setImmediate();
  const policy = reader.parse(document);
  await setImmediate();
  return policy;
};

const compileTables = async (
  { document, terms }: { readonly document: Policy; readonly terms: PolicyInForce },
  compiler: PolicyCompiler,
): Promise<PolicyTables> => {
  const { policy } = terms;
  const begunMs = performance.now();
  const compiled = compiler.compile(policy);
  const compileMs = performance.now() - begunMs;
  await setImmediate();
  const generation = await generationOf(compiled.image);
  // Opening takes longer than a small change: who only loads the tables does without.
  let judge: PolicyImage | undefined;
  const actions = new Map(policy.mappings.map(({ name, action }) => [name, action]));
  return {
    document,
    policy,
    terms,
    image: compiled.image,
    generation,
    get judge() {
      return (judge ??= openImage(compiled.image));
    },
    denyLists: compiled.denyLists,
    stats: statsOf(compiled, compileMs),
    record: {
      generation,
      mappings: compiled.names.map((name) => ({ name, allow: actions.get(name) !== 'deny' })),
      isDefaultAllow: policy.defaultAction === 'allow',
    },
  };
};

const statsOf = ({ stats }: CompiledPolicy, compileMs: number): TableStats => ({
  identities: stats.identities4 + stats.identities6,
  pairs: stats.pairs,
  portIntervals: stats.portIntervals,
  mappings: stats.mappings,
  imageBytes: stats.imageBytes,
  compileMs,
});
