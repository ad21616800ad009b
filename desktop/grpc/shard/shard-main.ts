/** Entry of a shard's thread. */
import { systemClock, systemRandom } from '../../lib/api.ts';
import { serveShard } from './shard-server.ts';
import { threadEnd } from './shard-thread.ts';

/**
 * The library captures and formats two stacks for every call that a host refuses: half of what a thousand refusals cost. Errors of hosts leave
 * this thread as code and message; of one of our own the first line is left, which tells where it was made.
 */
Error.stackTraceLimit = 1;

serveShard({ port: threadEnd(), clock: systemClock(), random: systemRandom });
