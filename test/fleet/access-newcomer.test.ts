/** The first commands of an operator who has just joined: what the hosts hold counts, not what this console happens to have. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestFleet } from '../support/identity-fleet.ts';

const never = new AbortController().signal;
let folder: string;
let fleet: TestFleet;
let newcomer: TestConsole;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-newcomer-'));
  fleet = await openTestFleet(folder, { isGuarded: true });
  newcomer = await openTestConsole('');
});
afterEach(async () => {
  await newcomer.close();
  await fleet.close();
  await rm(folder, { recursive: true, force: true });
});

it('a newcomer takes the bundle from a host, and is not told to begin one while the host is away', { timeout: 60_000 }, async () => {
  const { agent } = await fleet.enroll('edge-1');
  for (const change of [
    { kind: 'operator.put', subject: 'operator/grace', title: '' },
    { kind: 'binding.add', subject: 'operator/grace', role: 'viewer', level: '*' },
  ] as const)
    await fleet.core.handlers['access.change']({ change }, never);
  await fleet.core.handlers['access.push']({}, never);
  const request = await newcomer.nest(['fleet', 'request-access', '--operator', 'grace', '--json']);
  const { file, fingerprint } = JSON.parse(request.out) as { readonly file: string; readonly fingerprint: string };
  const grant = await fleet.core.handlers['device.admit']({ file, fingerprint, share: 'none' }, never);
  const { root } = await fleet.core.handlers['certificate.list']({}, never);
  const path = join(folder, 'grant');
  await writeFile(path, grant.file);
  expect(await newcomer.nest(['fleet', 'join', path, '--root-sha256', root.fingerprint])).toMatchObject({ code: 0 });
  const bind = () => newcomer.nest(['access', 'bindings', 'add', 'operator/grace', 'viewer']);
  await fleet.stop(agent);
  const away = await bind();
  expect(away.notes).toMatch(/^error ACCESS_INVALID: This console has no access bundle yet, and 1 of 1 hosts did not say/);
  expect(away.notes).not.toContain('access begin');
  await fleet.start('edge-1', agent.port);
  expect((await bind()).notes).toMatch(/^error SCOPE_MISSING: This console holds no key of an owner/);
  expect((await newcomer.nest(['access', 'owners'])).out).toContain('operator/ada');
});
