import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CertificateList } from '../bridge/model.ts';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
const nest = (...args: readonly string[]) => opened.nest(args);
beforeEach(async () => {
  opened = await openTestConsole('');
  await nest('fleet', 'init', 'Test', '--operator', 'ada');
});
afterEach(() => opened.close());

describe('nest fleet certificates and revoke', () => {
  it('say of this device, when it is named, how it is revoked', async () => {
    const { rows } = JSON.parse((await nest('fleet', 'certificates', '--json')).out) as CertificateList;
    const own = rows.find(({ name }) => name === 'ada (this device)');
    const { code, notes } = await nest('fleet', 'revoke', 'ada', '--yes');
    expect([code, notes]).toEqual([1, expect.stringContaining(`ada is this device`)]);
    expect(notes).toContain(`revoke its serial number ${own?.serial ?? 'missing'} on the console of another owner`);
    expect((await nest('fleet', 'revoke', 'nobody', '--yes')).notes).toContain('There is no certificate nobody.');
  });
});
