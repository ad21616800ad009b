/** A change that nobody confirms is taken back by the host itself, whatever became of the console or the agent. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hosts, Lab } from '../lab/lab.ts';
import { grpcPort, serverPorts } from '../lab/topology.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';
import { labMapping, labPolicy, watchingPolicy } from '../support/lab-policy.ts';

const lab = Lab.attach();
const host = hosts[2];
if (host === undefined) throw new Error('the lab has a third host');
const confirmWithinSeconds = 5;
const graceSeconds = 1;
const probeTimeoutMs = 200;

/** True when the agent's port takes a new connection from the console's side. */
const isManageable = async (): Promise<boolean> => {
  const socket = connect({ host: host.managementAddress, port: grpcPort });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.setTimeout(probeTimeoutMs, () => resolve(false));
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const answer = await promise;
  socket.destroy();
  return answer;
};
const canFetch = async (): Promise<boolean> =>
  (await lab.exec('client', ['curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${host.server4}:${serverPorts.http}/`])).code ===
  0;

const cutsManagement = labPolicy([
  labMapping('cut-management', { action: 'deny', sources: ['any'], destinations: ['management'], priority: 900 }),
]);
const cutsWeb = labPolicy([labMapping('cut-web', { action: 'deny', protocols: ['tcp'], ports: [String(serverPorts.http)] })]);

const newestState = async (): Promise<{ readonly state: string; readonly reason: string }> => {
  await using console_ = await LabConsole.open();
  const [newest] = await console_.handlers['policy.revisions']({ hostId: console_.hostId(host) }, console_.signal);
  return { state: newest?.state ?? 'none', reason: newest?.settledReason ?? '' };
};

beforeAll(async () => {
  await using console_ = await LabConsole.open();
  await console_.enforce(watchingPolicy, [host]);
});
afterAll(async () => {
  if (lab.agentProcess(host) === undefined) await lab.startAgent(host, AbortSignal.timeout(30_000));
});

describe('the dead-man timer', () => {
  it(`takes a policy that cuts the management connection back within ${confirmWithinSeconds} + ${graceSeconds} s, with the console dead`, async () => {
    expect(await isManageable()).toBe(true);
    const console_ = await LabConsole.open();
    const hostIds = [console_.hostId(host)];
    const plan = await console_.handlers['policy.plan']({ policy: JSON.stringify(cutsManagement), hostIds }, console_.signal);
    expect(plan.hosts[0]).toMatchObject({ managementReachable: false, canApply: true });
    let lastGood = performance.now();
    // The answer travels on the connection that is being cut: nobody waits for it.
    const applying = console_.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds }, console_.signal).catch(
      () => undefined,
    );
    await eventually('the cut', 10_000, async () => {
      const now = performance.now();
      if (!(await isManageable())) return true;
      lastGood = now;
      return undefined;
    });
    await console_[Symbol.asyncDispose]();
    await applying;
    const back = await eventually('the way back', (confirmWithinSeconds + 10) * 1000, async () =>
      (await isManageable()) ? performance.now() : undefined,
    );
    const seconds = (back - lastGood) / 1000;
    console.log(`cut off for ${seconds.toFixed(2)} s`);
    expect(seconds).toBeGreaterThan(confirmWithinSeconds - graceSeconds);
    expect(seconds).toBeLessThanOrEqual(confirmWithinSeconds + graceSeconds);
    expect((await newestState()).state).toBe('rolled-back');
  });

  it('goes on when the agent is killed while a change is pending and starts again in time', async () => {
    const console_ = await LabConsole.open();
    const rollout = await console_.apply(cutsWeb, { hosts: [host], confirmWithinSeconds });
    const applied = performance.now();
    expect(rollout.state).toBe('pending');
    await lab.stopAgent(host, 'kill');
    await console_[Symbol.asyncDispose]();
    expect(await canFetch(), 'enforced while the agent is dead').toBe(false);
    await lab.startAgent(host, AbortSignal.timeout(30_000));
    await eventually('the way back', (confirmWithinSeconds + 10) * 1000, async () => ((await canFetch()) ? true : undefined));
    expect((performance.now() - applied) / 1000).toBeLessThanOrEqual(confirmWithinSeconds + graceSeconds + 1);
    expect((await newestState()).state).toBe('rolled-back');
  });

  it('takes a change back at the start when its time ended while no agent ran', async () => {
    const console_ = await LabConsole.open();
    await console_.apply(cutsWeb, { hosts: [host], confirmWithinSeconds });
    await lab.stopAgent(host, 'kill');
    await console_[Symbol.asyncDispose]();
    await sleep((confirmWithinSeconds + graceSeconds) * 1000);
    expect(await canFetch(), 'nobody was there to take it back').toBe(false);
    await lab.startAgent(host, AbortSignal.timeout(30_000));
    await eventually('the way back', 3000, async () => ((await canFetch()) ? true : undefined));
    expect((await newestState()).state).toBe('rolled-back');
  });
});
