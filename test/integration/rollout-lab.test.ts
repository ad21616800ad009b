/** A staged rollout over real hosts under steady traffic: its gates read what the programs in the kernel count. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StagedRollout } from '../../desktop/bridge/rollout-model.ts';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { nodePath } from '../lab/agent-config.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { serverPorts } from '../lab/topology.ts';
import { LabConsole } from '../support/lab-console.ts';
import { emptyPolicy, labMapping, labPolicy } from '../support/lab-policy.ts';

const lab = Lab.attach();
const generator = join(import.meta.dirname, 'datagrams.ts');
/** Datagrams a second to each host, far above the floor of the gates. */
const rate = 200;
const trafficSeconds = 90;
const endMsMax = 60_000;

const echo = { protocols: ['udp'] as const, ports: [String(serverPorts.udpEcho)] };
const web = { protocols: ['tcp'] as const, ports: [String(serverPorts.http)] };
const good = labPolicy([labMapping('echo', { action: 'allow', ...echo }), labMapping('web', { action: 'allow', ...web })]);
const cutting = labPolicy([labMapping('echo', { action: 'deny', ...echo }), labMapping('web', { action: 'deny', ...web })]);

let console_: LabConsole;
const stop = new AbortController();
let traffic: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(emptyPolicy, hosts);
  const targets = hosts.map(({ server4 }) => `${server4},${String(serverPorts.udpEcho)},${String(rate * trafficSeconds)}`);
  const options = { signal: stop.signal, timeoutMs: (trafficSeconds + 30) * 1000 };
  traffic = lab.exec('client', [nodePath, generator, String(rate * hosts.length), ...targets], options).catch(() => undefined);
});
afterAll(async () => {
  stop.abort();
  await traffic;
  await console_.enforce(emptyPolicy, hosts);
  await console_[Symbol.asyncDispose]();
});

const rollOut = async (policy: PolicyDocument): Promise<StagedRollout> => {
  const { handlers, signal } = console_;
  const settings = { waves: [0, 100], soakSeconds: 4, baselineSeconds: 2, maxUnavailable: 2 };
  const hostIds = hosts.map((host) => console_.hostId(host));
  const { planId } = await handlers['rollouts.plan']({ ...settings, name: 'lab', policy: JSON.stringify(policy), hostIds }, signal);
  const { rolloutId } = await handlers['rollouts.start']({ planId }, signal);
  let end: StagedRollout | undefined;
  for await (const shown of handlers['rollouts.watch']({ rolloutId }, AbortSignal.any([signal, AbortSignal.timeout(endMsMax)])))
    end = shown;
  if (end === undefined) throw new Error('nothing was shown');
  return end;
};
const canFetch = async (): Promise<readonly boolean[]> =>
  Promise.all(
    hosts.map(async ({ server4 }) => {
      const url = `http://${server4}:${String(serverPorts.http)}/`;
      return (await lab.exec('client', ['curl', '-s', '-o', '/dev/null', '--max-time', '1', url])).code === 0;
    }),
  );
const generations = async (): Promise<readonly string[]> =>
  Promise.all(
    hosts.map(async (host) => (await console_.handlers['policy.get']({ hostId: console_.hostId(host) }, console_.signal)).generation),
  );

describe('a rollout over the hosts of the lab', () => {
  it('keeps a policy that lets traffic through, host by host, with every gate measured', async () => {
    const before = await generations();
    const end = await rollOut(good);
    expect(end).toMatchObject({ phase: 'finished', wave: 1, reason: null });
    expect(end.hosts.map(({ hostName, state, wave }) => [hostName, state, wave])).toEqual([
      ['edge-1', 'kept', 0],
      ['edge-2', 'kept', 1],
      ['edge-3', 'kept', 1],
    ]);
    for (const { gates } of end.hosts) {
      expect(gates.map(({ gate, verdict }) => [gate, verdict])).toEqual(
        ['drop-rate', 'flow-failures', 'health', 'drift'].map((gate) => [gate, 'passed']),
      );
      expect(gates[0]?.figure).not.toBeNull();
    }
    const after = await generations();
    expect([new Set(after).size, after.some((generation) => before.includes(generation))]).toEqual([1, false]);
  });

  it('stops at the first host whose kernel drops what it let through before, takes it back, and touches no other', async () => {
    const before = await generations();
    expect(await canFetch()).toEqual([true, true, true]);
    const end = await rollOut(cutting);
    expect(end).toMatchObject({ phase: 'stopped', wave: 0, reason: { code: 'ROLLOUT_STOPPED' } });
    expect(end.reason?.message).toContain('edge-1 drops more packets for POLICY_DENY');
    expect(end.hosts.map(({ state }) => state)).toEqual(['taken-back', 'skipped', 'skipped']);
    expect(end.hosts.every(({ problem }) => problem !== null)).toBe(true);
    const breached = end.hosts[0]?.gates.find(({ verdict }) => verdict === 'breached');
    console.log(
      `edge-1 dropped ${String(Math.round(breached?.figure ?? 0))} packets a second of ${String(rate)} sent, at most ${String(breached?.threshold)} may be`,
    );
    expect(breached).toMatchObject({ gate: 'drop-rate', subject: 'POLICY_DENY' });
    expect(breached?.figure ?? 0).toBeGreaterThan(breached?.threshold ?? Infinity);
    expect(await canFetch()).toEqual([true, true, true]);
    expect(await generations()).toEqual(before);
  });
});
