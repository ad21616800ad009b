/**
 * Policies: from the document an operator writes to the table image the data path loads, and back to an explanation.
 * Pure TypeScript for Node and browsers: the agent compiles, plans and replays with it, the console validates, compares and
 * explains. It never reads a file, opens a socket or knows a host, and it is the only writer of table images.
 */
export {
  addressFromBytes,
  addressToBytes,
  formatAddress,
  formatPrefix,
  isWithin,
  networkOf,
  parseAddress,
  parsePrefix,
} from './address.ts';
export type { Address, Prefix } from './address.ts';
export { compilePolicy } from './compiler.ts';
export type { CompiledPolicy, CompiledStats } from './compiler.ts';
export { generationOf } from './generation.ts';
export { openImage } from './judge.ts';
export type { BeatenMapping, Judgement, PolicyImage, TrafficTuple } from './judge.ts';
export { parsePolicy, validatePolicy } from './policy.ts';
export { diffPolicies } from './policy-diff.ts';
export type { ChangedEntry, DiffLine, FieldChange, PolicyDiff } from './policy-diff.ts';
export type { PolicyProblem } from './policy-problems.ts';
export { policySchema } from './policy-schema.ts';
export type {
  CheckedMapping,
  Policy,
  PolicyAction,
  PolicyDocument,
  PolicyMapping,
  PolicyProtocol,
  PolicyService,
} from './policy-schema.ts';
