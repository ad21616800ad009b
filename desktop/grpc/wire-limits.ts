/** Every number of the console's wire, with its reason. */
import type { BackoffLimits } from '../lib/api.ts';

/** Handshakes at once: more stall the event loop and finish no earlier. */
export const connectsInFlightMax = 32;
/** Hosts that may wait for a handshake. */
export const connectsWaitingMax = 10_000;
/** Ping on an idle connection, and how long its answer may take. */
export const keepaliveTimeMs = 30_000;
export const keepaliveTimeoutMs = 10_000;
/** A connection that is not secure by then never will be. */
export const connectTimeoutMs = 20_000;
/** Calls that run when a connection is closed get so long to finish. */
export const closingMs = 1_000;
/** Memory one connection may take for what is under way in the library, megabytes: a window and a largest message, and room. */
export const sessionMegabytesMax = 16;
/** HTTP/2 window of a connection for statuses and calls: 5,000 of them promise 5 GB, not more. */
export const statusWindowBytes = 1 << 20;
/** And of one for flows and the like: without it a long path gives 1.3 MB/s. */
export const bulkWindowBytes = 4 << 20;
/**
 * A host that has not finished its handshake by then gives its place to the next and goes on beside: places are for hosts that answer. With
 * every host silent 32 begin a second, and helloTimeoutMs ends each, so that no more than 256 wait beside.
 */
export const connectPlaceMs = 1_000;
/** First call on a connection, handshake included. */
export const helloTimeoutMs = 8_000;
/** What the two grow to where every handshake is slow because both ends are busy: handshake-pace.ts. */
export const connectPlaceMsMax = 4_000;
export const helloTimeoutMsMax = 30_000;
/** Pauses between attempts to reach a host. */
export const reconnectLimits: BackoffLimits = { firstMs: 500, maxMs: 10_000, factor: 1.6, jitter: 0.2 };
/** The same for who is locked out of the fleet: a console that lost a thousand hosts at once must not come back to all of them at once. */
export const lockedOutLimits: BackoffLimits = { firstMs: 30_000, maxMs: 120_000, factor: 2, jitter: 0.5 };
/** A connection that lived so long starts the pauses anew when it breaks. */
export const stableAfterMs = 10_000;
/** TLS sessions kept for resumption; the oldest goes first. */
export const tlsSessionsMax = 10_000;
/** One step of an enrolment. */
export const enrollmentStepTimeoutMs = 10_000;

/** From so many hosts on, connections live in shards beside the console's own thread: a smaller fleet does not hold it up. */
export const shardsFromHosts = 250;
/** Hosts a shard is planned for: twice as many still answer in time. */
export const agentsPerShard = 1250;
/** Shards at most: with more hosts each gets more. */
export const shardsMax = 8;
/** Shards that ended by themselves before the console keeps connections in its own thread. */
export const shardStartsMax = 16;
