/** A console as a process of its own over a simulated fleet: begins a rollout to every host, and says each record it has written. */
import { createConsoleCore } from '../../desktop/core/api.ts';
import { simulatedConsolePorts } from '../simulator/simulated-fleet.ts';
import { until } from './rollout-console.ts';

const [, , dataDirectory = '', passphrase = '', policy = ''] = process.argv;
const never = new AbortController().signal;
const ports = simulatedConsolePorts({ dataDirectory });
const core = createConsoleCore({
  ...ports,
  cache: {
    ...ports.cache,
    putRecord: (kind, id, record) => {
      ports.cache.putRecord(kind, id, record);
      if (kind === 'rollout-progress') process.send?.({ kind: 'written', rolloutId: id });
    },
  },
});
await core.handlers['fleet.unlock']({ passphrase }, never);
await until('the fleet', async () => (await core.handlers['hosts.list']({}, never)).every(({ state }) => state === 'healthy'));
const hostIds = (await core.handlers['hosts.list']({}, never)).map(({ hostId }) => hostId);
/** Traffic of simulated hosts wanders; this is about something else. */
const gates = { dropFloorPps: 1e9, flowFailureFloorPps: 1e9 };
const settings = { waves: [0, 50, 100], soakSeconds: 0, baselineSeconds: 0, maxUnavailable: hostIds.length, gates };
const { planId } = await core.handlers['rollouts.plan']({ ...settings, name: 'web', policy, hostIds }, never);
const { rolloutId } = await core.handlers['rollouts.start']({ planId }, never);
for await (const { phase } of core.handlers['rollouts.watch']({ rolloutId }, never)) process.send?.({ kind: 'phase', phase });
await core.close();
process.disconnect();
