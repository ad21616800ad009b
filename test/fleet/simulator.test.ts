import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConsoleCore } from '../../desktop/core/api.ts';
import type { ConsoleCore } from '../../desktop/core/api.ts';
import { simulatedConsolePorts } from '../simulator/simulated-fleet.ts';
import { Simulator } from '../simulator/simulator.ts';

const agents = 6;
const never = new AbortController().signal;

const until = async (what: string, isSo: () => Promise<boolean> | boolean): Promise<void> => {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error(`${what} did not come about`);
};

describe.skipIf(process.platform !== 'linux')('simulator', { timeout: 60_000 }, () => {
  let simulator: Simulator;
  let core: ConsoleCore;

  beforeAll(async () => {
    simulator = await Simulator.up({ agents });
    const { dataDirectory, passphrase } = simulator.fleet;
    core = createConsoleCore(simulatedConsolePorts({ dataDirectory }));
    await core.handlers['fleet.unlock']({ passphrase }, never);
  }, 60_000);
  afterAll(async () => {
    await core.close();
    await simulator[Symbol.asyncDispose]();
    expect(existsSync(simulator.fleet.dataDirectory)).toBe(false);
  });

  const healthy = async (): Promise<number> =>
    (await core.handlers['hosts.list']({}, never)).filter(({ state }) => state === 'healthy').length;

  it('is a fleet to a console: identities are believed, statuses arrive', async () => {
    await until('health of all', async () => (await healthy()) === agents);
    const [row] = await core.handlers['hosts.list']({}, never);
    expect(row).toMatchObject({ name: 'host-00001', labels: ['site=fra2', 'role=core'] });
    await until('a reading', async () => (await core.handlers['hosts.list']({}, never)).every(({ cpuBusy }) => cpuBusy !== null));
  });

  it('plans, applies and confirms a policy on every agent', async () => {
    const hostIds = (await core.handlers['hosts.list']({}, never)).map(({ hostId }) => hostId);
    const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
    const plan = await core.handlers['policy.plan']({ policy, hostIds }, never);
    const { rolloutId } = await core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds: 60 }, never);
    const rows = (): ReturnType<(typeof core.handlers)['hosts.list']> => core.handlers['hosts.list']({}, never);
    await until('apply', async () => (await rows()).every(({ pendingUntil }) => pendingUntil !== null));
    await core.handlers['policy.confirm']({ rolloutId }, never);
    await until('confirmation', async () => (await rows()).every(({ pendingUntil, revision }) => pendingUntil === null && revision === 1));
  });

  it("asks for approvals as real hosts do: in one's own name, in force when another has approved", async () => {
    const hostIds = (await core.handlers['hosts.list']({}, never)).map(({ hostId }) => hostId).slice(0, 2);
    const asked = (requestedBy: string): string =>
      JSON.stringify({
        apiVersion: 'nest/v1',
        kind: 'Policy',
        defaultAction: 'allow',
        services: [],
        mappings: [
          {
            name: 'temp',
            sources: ['any'],
            destinations: ['any'],
            protocols: ['tcp'],
            ports: ['443'],
            action: 'deny',
            priority: 100,
            approval: { justification: 'migration', requestedBy },
          },
        ],
      });
    const plan = async (requestedBy: string) => core.handlers['policy.plan']({ policy: asked(requestedBy), hostIds }, never);
    const forged = await plan('operator/somebody');
    expect(forged.hosts.map(({ canApply, problems }) => [canApply, problems[0]?.code])).toEqual(
      hostIds.map(() => [false, 'APPROVAL_REQUESTER']),
    );
    const { planId, hosts } = await plan('operator/demo');
    expect(hosts[0]).toMatchObject({ canApply: true, impact: null });
    expect(hosts[0]?.diff).toContainEqual({ kind: 'added', text: expect.stringContaining('temp') });
    const { rolloutId } = await core.handlers['policy.apply']({ planId, confirmWithinSeconds: 60 }, never);
    await core.handlers['policy.confirm']({ rolloutId }, never);
    const list = async () => (await core.handlers['approval.list']({ hostIds }, never)).rows;
    await until('what waits', async () => (await list()).filter(({ state, live }) => live && state === 'waiting').length === 2);
    const [row] = await list();
    const request = { hostId: row?.hostId ?? '', mapping: 'temp', revision: row?.revision ?? 0 };
    await expect(core.handlers['approval.approve'](request, never)).rejects.toMatchObject({ code: 'APPROVAL_REFUSED' });
  });

  it('cuts every connection at once and takes the console back', async () => {
    await until('health of all', async () => (await healthy()) === agents);
    expect(await simulator.drop()).toBe(agents);
    await until('the loss', async () => (await healthy()) < agents);
    await until('the return', async () => (await healthy()) === agents);
    expect((await simulator.measure()).connections).toBe(agents);
  });
});

describe.skipIf(process.platform !== 'linux')('simulator command', () => {
  it('leaves nothing behind when it is killed', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../simulator/main.ts'), 'up', '--agents', '2', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { value: line } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    const { dataDirectory } = JSON.parse(String(line)) as { readonly dataDirectory: string };
    expect(existsSync(dataDirectory)).toBe(true);
    child.kill('SIGKILL');
    await until('the end of the folder', () => !existsSync(dirname(dataDirectory)));
  }, 60_000);
});
