import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CertificateList, ConsoleState, DeviceFile } from '../bridge/model.ts';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let owner: TestConsole;
let device: TestConsole;
beforeEach(async () => {
  [owner, device] = await Promise.all([openTestConsole(''), openTestConsole('')]);
  await owner.nest(['fleet', 'init', 'Test', '--operator', 'ada']);
});
afterEach(async () => {
  await Promise.all([owner.close(), device.close()]);
});

const printed = async <Value>(by: TestConsole, ...args: readonly string[]): Promise<Value> =>
  JSON.parse((await by.nest([...args, '--json'])).out) as Value;
const saved = async (name: string, { file }: DeviceFile): Promise<string> => {
  const path = join(owner.folder, name);
  await writeFile(path, file);
  return path;
};

describe('nest fleet admit and join, with nobody to ask', () => {
  it('take one name of the root, and refuse another fleet', { timeout: 30_000 }, async () => {
    const request = await saved('request', await printed<DeviceFile>(device, 'fleet', 'request-access', '--operator', 'grace'));
    const { root } = await printed<CertificateList>(owner, 'fleet', 'certificates');
    const other = 'ab'.repeat(32);
    expect((await owner.nest(['fleet', 'admit', request])).code).toBe(2);
    expect(await owner.nest(['fleet', 'admit', request, '--yes', '--root-sha256', other])).toMatchObject({
      code: 1,
      out: '',
      notes: expect.stringContaining('error FLEET_MISMATCH'),
    });
    const admitted = await printed<DeviceFile>(owner, 'fleet', 'admit', request, '--yes', '--root-sha256', root.fingerprint);
    const grant = await saved('grant', admitted);
    expect((await device.nest(['fleet', 'join', grant, '--root-sha256', other])).code).toBe(1);
    expect(await printed<ConsoleState>(device, 'fleet', 'join', grant, '--root-sha256', root.fingerprint)).toMatchObject({
      fleetName: 'Test',
      operatorName: 'grace',
    });
  });
});
