/** What the host itself sends: connect and sendmsg judged and steered, packets at the egress kept in the flow table. */
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import { buildImage } from '../../native/test/support/image-builder.ts';
import { flowsOf, openDataPath, reasonNumber, suite } from '../../native/test/support/data-path.ts';
import type { ReasonName } from '../../native/test/support/data-path.ts';
import { openLocalPlace } from './support/local-place.ts';
import type { LocalPlace } from './support/local-place.ts';
import { allowed, backendPorts, content, denied, families, mapping, server, unmapped, virtual } from './support/local-policy.ts';

let dataPath: DataPath;
let pinPath: string;
let place: LocalPlace;
let sequence = 1;

const load = async (image: Buffer): Promise<void> => {
  sequence = dataPath.state().sequence + 1;
  await dataPath.swap(image, sequence);
};

beforeAll(async () => {
  ({ dataPath, pinPath } = await openDataPath());
  place = openLocalPlace();
  await place.serve(suite.peer(), [allowed, ...backendPorts, denied, unmapped]);
  await dataPath.attach('v0');
  await load(buildImage(content()));
  const state = await dataPath.attachLocal({ cgroupPath: place.cgroupPath });
  expect(state).toMatchObject({ attached: true, reason: '', egress: [{ name: 'v0', kind: 'tcx' }] });
});

afterAll(async () => {
  await dataPath.remove();
  await place[Symbol.asyncDispose]();
});

const reasonsOf = (name: string): Partial<Record<ReasonName, bigint>> => {
  const values = dataPath.counters().interfaces.find((each) => each.name === name)?.reasons ?? new BigUint64Array(0);
  return Object.fromEntries(Object.entries(reasonNumber).map(([reason, number]) => [reason, values[number * 2] ?? 0n]));
};

/** A connection from outside of the control group. */
const knock = (): void => {
  execFileSync('bash', ['-c', `exec 3<>/dev/tcp/${server[4]}/${String(unmapped)}`], { timeout: 1500, stdio: 'ignore' });
};

const packetsOf = (index: number): bigint => dataPath.counters().active.values[index * 2] ?? 0n;

const localOf = async (index: number): Promise<readonly bigint[]> => [
  ...(await dataPath.localCounters()).values.subarray(index * 8, index * 8 + 8),
];

/** Until the last FIN of the connections before is through; two seconds at most. */
const becomeQuiet = async (): Promise<void> => {
  const total = (): bigint => Object.values(reasonsOf('v0')).reduce((sum, value) => sum + value, 0n);
  for (let attempt = 0, before = -1n; attempt < 20 && total() !== before; attempt += 1) {
    before = total();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

describe('a process that connects', () => {
  it.each(families)('is refused where a mapping denies or nothing allows, IPv%i', async (family) => {
    const before = await localOf(mapping.deny);
    expect((await place.run('tcp', server[family], denied)).code).toBe('EPERM');
    expect((await place.run('tcp', server[family], unmapped)).code).toBe('EPERM');
    expect((await place.run('udp', server[family], unmapped, 1)).code).toBe('EPERM');
    expect((await place.run('udp-connected', server[family], denied, 1)).code).toBe('EPERM');
    const after = await localOf(mapping.deny);
    expect((after[1] ?? 0n) - (before[1] ?? 0n)).toBe(2n);
  });

  it('is refused through an IPv6 socket just the same', async () => {
    expect((await place.run('tcp', `::ffff:${server[4]}`, denied)).code).toBe('EPERM');
    expect((await place.run('tcp', `::ffff:${virtual[4]}`, 80)).remotes).toEqual([`::ffff:${virtual[4]} 80`]);
  });

  it.each(families)('reaches what a mapping allows under default deny, and is counted, IPv%i', async (family) => {
    const before = await localOf(mapping.allow);
    expect(await place.run('tcp', server[family], allowed)).toEqual({ answers: ['8000'], remotes: [`${server[family]} 8000`] });
    const after = await localOf(mapping.allow);
    const [allowedCalls, refused, established, closed, sent, received] = after.map((value, index) => value - (before[index] ?? 0n));
    expect([allowedCalls, refused, established, closed]).toEqual([1n, 0n, 1n, 1n]);
    // One byte and four, and what TCP counts for SYN and FIN.
    expect(sent).toBeGreaterThanOrEqual(1n);
    expect(sent).toBeLessThanOrEqual(3n);
    expect(received).toBeGreaterThanOrEqual(4n);
    expect(received).toBeLessThanOrEqual(5n);
  });

  it.each(families)('reaches a backend, and sees the virtual address, IPv%i', async (family) => {
    const answers = new Set<string>();
    for (let i = 0; i < 12; i += 1) {
      const answer = await place.run('tcp', virtual[family], 80);
      expect(answer.remotes).toEqual([`${virtual[family]} 80`]);
      for (const port of answer.answers ?? []) answers.add(port);
    }
    expect([...answers].sort()).toEqual(['8001', '8002']);
  });

  it.each(families)('sends datagrams to one backend and sees answers from the virtual address, IPv%i', async (family) => {
    const answer = await place.run('udp', virtual[family], 80, 4);
    expect(new Set(answer.remotes)).toEqual(new Set([`${virtual[family]} 80`]));
    expect(new Set(answer.answers).size).toBe(1);
    const connected = await place.run('udp-connected', virtual[family], 80, 2);
    expect(connected.remotes).toEqual([1, 2, 3].map(() => `${virtual[family]} 80`));
  });

  it('is refused when no backend is up', async () => {
    await load(buildImage(content([2, 2])));
    expect((await place.run('tcp', virtual[4], 80)).code).toBe('EPERM');
    await load(buildImage(content()));
  });

  it('is let alone outside of the control group, but its packets are judged at the egress', () => {
    const before = reasonsOf('v0');
    expect(() => knock()).toThrow();
    expect((reasonsOf('v0').DEFAULT_DENY ?? 0n) - (before.DEFAULT_DENY ?? 0n)).toBeGreaterThanOrEqual(1n);
  });
});

describe('the process that set the hooks', () => {
  it('reaches everything, so that it can ask after backends', async () => {
    using _inside = place.enter();
    const before = reasonsOf('v0');
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect({ host: server[4], port: unmapped }, () => socket.write('?'));
      socket.setTimeout(3000, () => socket.destroy(new Error('no answer')));
      socket.on('error', reject);
      socket.on('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
    });
    expect(answer).toBe(String(unmapped));
    expect(reasonsOf('v0').DEFAULT_DENY).toBe(before.DEFAULT_DENY);
  });
});

describe('a connection that the host began', () => {
  it('is one flow, both ways, with every packet counted once', async () => {
    await becomeQuiet();
    const reasons = reasonsOf('v0');
    const packets = packetsOf(mapping.allow);
    await place.run('udp', server[4], allowed, 5);
    const after = reasonsOf('v0');
    expect((after.POLICY_ALLOW ?? 0n) - (reasons.POLICY_ALLOW ?? 0n)).toBe(1n);
    expect((after.FLOW ?? 0n) - (reasons.FLOW ?? 0n)).toBe(9n);
    expect(packetsOf(mapping.allow) - packets).toBe(10n);
    const flow = (await flowsOf(dataPath)).find(({ protocol, packets: each }) => protocol === 17 && each[0] === 5n && each[1] === 5n);
    expect(flow).toMatchObject({ mapping: mapping.allow, destinationPort: allowed });
  });

  it('names the backend that it was sent to', async () => {
    await becomeQuiet();
    const { remotes } = await place.run('udp', virtual[4], 80, 1);
    expect(remotes).toEqual([`${virtual[4]} 80`]);
    const flows = (await flowsOf(dataPath)).filter(({ protocol, mapping: each }) => protocol === 17 && each === mapping.balance);
    expect(flows.length).toBeGreaterThan(0);
    // Its packets have the backend's address from the start.
    for (const { family, rewrite, backend, destinationPort } of flows) {
      const first = family === 4 ? 0 : backendPorts.length;
      expect([rewrite, backendPorts[backend - first]]).toEqual([0, destinationPort]);
    }
  });

  it.each([allowed, 80])('outlives a new policy that allows it, port %i', async (port) => {
    const target = port === 80 ? virtual[4] : server[4];
    const reasons = reasonsOf('v0');
    const again = await place.hold(target, port);
    await load(buildImage(content()));
    const answer = await again();
    expect(answer).toMatchObject({ remotes: [`${target} ${String(port)}`] });
    expect(answer.code).toBeUndefined();
    expect(answer.answers).toHaveLength(2);
    expect(reasonsOf('v0').DEFAULT_DENY).toBe(reasons.DEFAULT_DENY);
    expect(packetsOf(port === 80 ? mapping.balance : mapping.allow)).toBeGreaterThan(0n);
  });

  it('ends with a policy that does not', async () => {
    const again = await place.hold(virtual[4], 80);
    await load(buildImage({}));
    expect((await again()).code).toBe('TIMEOUT');
    await load(buildImage(content()));
  });
});

describe('the hooks', () => {
  it('go on without the agent, and are taken over by the next one', async () => {
    await dataPath.close();
    const [refused, steered] = [await place.run('tcp', server[4], denied), await place.run('tcp', virtual[4], 80)];
    ({ dataPath } = await openDataPath(pinPath));
    expect([refused.code, steered.remotes]).toEqual(['EPERM', [`${virtual[4]} 80`]]);
    const before = reasonsOf('v0').DEFAULT_DENY ?? 0n;
    expect(() => knock()).toThrow();
    expect(reasonsOf('v0').DEFAULT_DENY).toBeGreaterThan(before);
    const counted = await dataPath.attachLocal({ cgroupPath: place.cgroupPath });
    expect(counted).toMatchObject({ attached: true, egress: [{ name: 'v0', kind: 'tcx' }] });
    expect((await place.run('tcp', server[4], denied)).code).toBe('EPERM');
    expect((await place.run('tcp', server[4], allowed)).answers).toEqual(['8000']);
    expect(reasonsOf('v0').TABLE_MISSING).toBe(0n);
  });

  it('say why they cannot be attached, and go away', async () => {
    const state = await dataPath.attachLocal({ cgroupPath: '/proc' });
    expect(state.attached).toBe(false);
    expect(state.reason).toContain('/proc is no control group of version 2');
    await dataPath.detachLocal();
    expect(dataPath.state().local).toMatchObject({ attached: false, egress: [] });
    expect((await place.run('tcp', server[4], denied)).code).not.toBe('EPERM');
    expect((await dataPath.attachLocal({ cgroupPath: place.cgroupPath })).attached).toBe(true);
    expect((await place.run('tcp', server[4], denied)).code).toBe('EPERM');
  });
});
