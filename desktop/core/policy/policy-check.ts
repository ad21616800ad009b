/** Judges a policy text on this machine, before any host is asked. */
import { compilePolicy, parsePolicy, policyInForce, validatePolicy } from '../../../native/image/api.ts';
import type { CompiledPolicy, Policy } from '../../../native/image/api.ts';
import { refuseDuplicateKeys } from '../../../proto/model/duplicate-keys.ts';
import { NestError } from '../../../proto/model/error.ts';
import { policyBytesMax } from '../../../proto/model/limits.ts';
import type * as model from '../../bridge/model.ts';
import type { Clock } from '../../lib/api.ts';

/** All problems, and the size of the tables when it compiles. Never raises for a bad policy. */
export const checkPolicy = (text: string, clock: Pick<Clock, 'now' | 'monotonicMs'>): model.PolicyCheck => {
  let input: unknown;
  try {
    input = parseText(text);
  } catch (error) {
    return refused(error);
  }
  const problems: readonly model.PolicyProblem[] = validatePolicy(input, clock.now());
  if (problems.some(({ severity }) => severity === 'error')) return { valid: false, problems, tables: null };
  try {
    const started = clock.monotonicMs();
    const { stats } = compilePolicy(parsePolicy(input));
    const compileMs = clock.monotonicMs() - started;
    const { identities4, identities6, pairs, portIntervals, mappings, imageBytes } = stats;
    return {
      valid: true,
      problems,
      tables: { identities: identities4 + identities6, pairs, portIntervals, mappings, imageBytes, compileMs },
    };
  } catch (error) {
    const last = refused(error);
    return { ...last, problems: [...last.problems, ...problems] };
  }
};

/** The checked policy. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
export const policyOf = (text: string): Policy => parsePolicy(parseText(text));

/** The table image of what a policy text has in force at a moment, milliseconds since 1970. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
export const imageOf = (text: string, nowMs: number): CompiledPolicy => compilePolicy(policyInForce(policyOf(text), nowMs).policy);

const parseText = (text: string): unknown => {
  const bytes = Buffer.byteLength(text);
  if (bytes > policyBytesMax)
    throw new NestError(
      'POLICY_TOO_LARGE',
      `The policy has ${String(bytes)} bytes; ${String(policyBytesMax)} are the most. Use wider services, and a file on the hosts for long deny lists.`,
      { details: { bytes, max: policyBytesMax } },
    );
  try {
    const document: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    refuseDuplicateKeys(text);
    return document;
  } catch (error) {
    if (error instanceof NestError) throw error;
    const place = error instanceof Error ? (/\(line \d+ column \d+\)/.exec(error.message)?.[0] ?? '') : '';
    throw new NestError(
      'POLICY_INVALID',
      text.trim() === ''
        ? 'The policy is empty: write a document, for instance {"apiVersion":"nest/v1","kind":"Policy","defaultAction":"allow","services":[],"mappings":[]}.'
        : `The policy is not valid JSON${place === '' ? '' : ` ${place}`}. Check commas, quotes and brackets.`,
      { details: { problem: 'JSON_INVALID' }, cause: error },
    );
  }
};

const refused = (error: unknown): model.PolicyCheck => {
  if (!(error instanceof NestError)) throw error;
  const code = typeof error.details['problem'] === 'string' ? error.details['problem'] : error.code;
  return { valid: false, problems: [{ code, severity: 'error', path: '', message: error.message }], tables: null };
};
