/** Inputs of the contract, checked the same way for every face. */
import { NestError } from '../../proto/model/error.ts';
import { contract } from './contract.ts';
import type { BridgeHandlers, MethodName } from './contract.ts';
import { fieldWords, issueWords } from './issue-words.ts';

const issuesShown = 8;

type Handler = (input: unknown, signal: AbortSignal) => unknown;

/** What the contract makes of an input; INPUT_INVALID, with the places in details.issues, when it does not fit. */
export const checkedInput = (method: MethodName, input: unknown): unknown => {
  const parsed = contract[method].input.safeParse(input, { error: issueWords });
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.slice(0, issuesShown).map(({ path, message }) => ({ path: path.map(String).join('.'), message }));
  const first = issues[0];
  const where = fieldWords(parsed.error.issues[0]?.path ?? []) || 'The input';
  return new NestError('INPUT_INVALID', `${where}: ${(first?.message ?? 'not accepted').replace(/\.$/, '')}. Correct it, then try again.`, {
    details: { method, issues },
  });
};

const checked = (method: MethodName, input: unknown): unknown => {
  const value = checkedInput(method, input);
  if (value instanceof NestError) throw value;
  return value;
};

/** The same handlers for a face that calls them itself, each with its input checked first. Handlers raise INPUT_INVALID. */
export const withCheckedInput = (handlers: BridgeHandlers): BridgeHandlers => {
  const wrapped = Object.entries(handlers).map(([name, handle]): readonly [string, Handler] => {
    const method = name as MethodName;
    const call = handle as Handler;
    if (contract[method].kind === 'stream') return [name, (input, signal) => call(checked(method, input), signal)];
    return [name, async (input, signal) => call(checked(method, input), signal)];
  });
  return Object.fromEntries(wrapped) as unknown as BridgeHandlers;
};
