/**
 * The console's end of the wire: mutual TLS with pinned agent identities, typed calls with deadlines and cancellation, one
 * maintained link per host, and the console's half of enrolment. Only desktop/core uses it. It never stores anything, never
 * decides what a host should run, and lets no gRPC error or type of the gRPC library out: above it there is only NestError.
 */
export type { Acquaintance, AgentClient, CallOptions } from './agent-client.ts';
export type { AgentLink, LinkState } from './agent-link.ts';
export { createEnrollmentExchange, joinTokenOf } from './enrollment-exchange.ts';
export type { EnrollmentExchange, EnrollmentProof, JoinToken } from './enrollment-exchange.ts';
export { createLinkPool } from './link-pool.ts';
export type { LinkPool, LinkPoolOptions } from './link-pool.ts';
export { openShardThread } from './shard/shard-thread.ts';
export { spkiFingerprint } from './peer-identity.ts';
export type { AgentIdentity } from './peer-identity.ts';
export { presentGrant } from './grant-exchange.ts';
export type { GrantExchange } from './grant-exchange.ts';
export type { StepUpEvidence } from './wire-session.ts';
export { createOperatorIdentity } from './operator-identity.ts';
export type { OperatorIdentity, OperatorMaterial } from './operator-identity.ts';
