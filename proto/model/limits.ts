/** Limits both ends of the wire know. */

/** Largest gRPC message either end accepts, bytes. */
export const messageBytesMax = 4 << 20;
/** Largest policy document, bytes of JSON; leaves room for the rest of the message. */
export const policyBytesMax = 3 << 20;
/** Revisions an agent keeps. */
export const revisionsKept = 50;
/** Bounds of the dead-man timer, seconds. */
export const confirmWithinSeconds = { min: 5, max: 3600, default: 60 } as const;
/** How long a plan may be applied, milliseconds. */
export const planLifeMs = 10 * 60_000;
/** How long a join token lives, milliseconds. */
export const tokenLifeMs = 10 * 60_000;
/** Proofs an agent checks before enrolment closes until its restart. */
export const enrollmentAttemptsMax = 5;
/** Default port of the agent's gRPC server. */
export const agentPortDefault = 50051;
/** A host where nothing happens is heard of at least so often, milliseconds. */
export const statusHeartbeatMs = 5_000;
/** Wire features this build understands. */
export const wireFeatures = ['plan', 'confirm', 'flows', 'trace', 'certificates', 'root-change'] as const;
