/** Run by crash.test.ts as a process of its own: takes updates without end until it is killed. */
import { argv, stdin, stdout } from 'node:process';
import { createInterface } from 'node:readline';
import { envelopeOf } from '../../../proto/model/access/storage.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { createAccessControl } from './access-control.ts';

const [, , stateDir = '', fleetId = '', root = ''] = argv;
const fleet = { fleetId, fleetRoot: Buffer.from(root, 'base64').toString(), agentId: '01JZ0000000000000000000001' };
const access = await createAccessControl({ stateDir, fleet: () => fleet, clock: systemClock, log: silentLogger, raise: () => undefined });
for await (const line of createInterface({ input: stdin })) {
  await access.push([envelopeOf(line)]);
  stdout.write(`${String(access.head().revision)}\n`);
}
