/** Entry of a shard's thread. */
import { systemClock, systemRandom } from '../../lib/api.ts';
import { serveShard } from './shard-server.ts';
import { threadEnd } from './shard-thread.ts';

serveShard({ port: threadEnd(), clock: systemClock(), random: systemRandom });
