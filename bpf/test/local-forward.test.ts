/** Packets that the host forwards were judged when they came in: at the egress nothing happens to them any more. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import { buildImage } from '../../native/test/support/image-builder.ts';
import { openDataPath, reasonNumber, suite } from '../../native/test/support/data-path.ts';
import { openLocalPlace } from './support/local-place.ts';
import type { LocalPlace } from './support/local-place.ts';
import { allowed, content, guest, mapping, server } from './support/local-policy.ts';

const namespace = `nest-t-bpf-${String(process.pid)}-c`;
const script = fileURLToPath(new URL('support/local-process.ts', import.meta.url));

let dataPath: DataPath;
let place: LocalPlace;

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
};

beforeAll(async () => {
  ({ dataPath } = await openDataPath());
  place = openLocalPlace();
  await place.serve(suite.peer(), [allowed]);
  ip('netns', 'add', namespace);
  ip('link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'w1', 'netns', namespace);
  ip('link', 'set', 'w0', 'addrgenmode', 'none', 'up');
  ip('addr', 'add', '198.18.3.1/24', 'dev', 'w0');
  ip('-n', namespace, 'link', 'set', 'w1', 'addrgenmode', 'none', 'up');
  ip('-n', namespace, 'addr', 'add', `${guest}/24`, 'dev', 'w1');
  ip('-n', namespace, 'route', 'add', 'default', 'via', '198.18.3.1');
  ip('-n', suite.peer(), 'route', 'add', '198.18.3.0/24', 'via', '198.18.0.1');
  execFileSync('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
  for (const name of ['v0', 'w0']) await dataPath.attach(name);
  await dataPath.swap(buildImage(content()), 1);
  const { egress } = await dataPath.attachLocal({ cgroupPath: place.cgroupPath });
  expect(egress.map(({ name, kind }) => `${name} ${kind}`).sort()).toEqual(['v0 tcx', 'w0 tcx']);
});

afterAll(async () => {
  execFileSync('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=0']);
  await dataPath.remove();
  await place[Symbol.asyncDispose]();
  ip('-n', suite.peer(), 'route', 'del', '198.18.3.0/24');
  ip('netns', 'del', namespace);
});

const judgedOn = (name: string): bigint => {
  const values = dataPath.counters().interfaces.find((each) => each.name === name)?.reasons ?? new BigUint64Array(0);
  return (values[reasonNumber.POLICY_ALLOW * 2] ?? 0n) + (values[reasonNumber.FLOW * 2] ?? 0n);
};

it('counts five datagrams and five answers once each', () => {
  const output = execFileSync('ip', ['netns', 'exec', namespace, process.execPath, script, 'udp', server[4], String(allowed), '5']);
  expect(JSON.parse(output.toString())).toMatchObject({ answers: ['8000', '8000', '8000', '8000', '8000'] });
  expect([judgedOn('w0'), judgedOn('v0')]).toEqual([5n, 5n]);
  expect(dataPath.counters().active.values[mapping.allow * 2]).toBe(10n);
});
