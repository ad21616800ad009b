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
export { approvalProblems, expiryOf, isSameRequest, policyInForce, withApproval } from './approval.ts';
export type { PolicyInForce, WithheldMapping } from './approval.ts';
export type { PolicyApproval } from './approval-schema.ts';
export { burstOf } from './action-compiler.ts';
export { completeHealthCheck } from './action-schema.ts';
export type {
  CompleteHealthCheck,
  PolicyAffinity,
  PolicyBackend,
  PolicyBackendState,
  PolicyDscp,
  PolicyHealthCheck,
  PolicyNat,
  PolicyRateLimit,
} from './action-schema.ts';
export { compilePolicy, createPolicyCompiler } from './compiler.ts';
export type { CompiledPolicy, CompiledStats, PolicyCompiler } from './compiler.ts';
export { encodeDenyPrefixes } from './deny-compiler.ts';
export type { DenyOptions } from './deny-compiler.ts';
export { parseExpiry } from './deny-schema.ts';
export type { PolicyDenyList } from './deny-schema.ts';
export { backendSeed, flowHash, ringPosition } from './flow-hash.ts';
export type { BalancedTuple } from './flow-hash.ts';
export { generationOf } from './generation.ts';
export { openImage } from './judge.ts';
export type { BeatenMapping, DeniedAddress, Judgement, NamedBackend, PolicyImage, TrafficTuple } from './judge.ts';
export type { JudgedBackend, JudgedBalancer, JudgedLimit, JudgedTreatment } from './judge-treatment.ts';
export { parsePolicy, validatePolicy } from './policy.ts';
export { parsePorts } from './port-range.ts';
export { diffPolicies } from './policy-diff.ts';
export type { ChangedEntry, DiffLine, FieldChange, PolicyDiff } from './policy-diff.ts';
export type { PolicyProblem } from './policy-problem.ts';
export { createPolicyReader } from './policy-reader.ts';
export type { PolicyReader } from './policy-reader.ts';
export { policySchema } from './policy-schema.ts';
export type {
  CheckedBackend,
  CheckedMapping,
  CheckedRateLimit,
  Policy,
  PolicyAction,
  PolicyDefaultAction,
  PolicyDocument,
  PolicyMapping,
  PolicyProtocol,
  PolicyService,
} from './policy-schema.ts';
