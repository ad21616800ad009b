import { beforeAll, describe, expect, it } from 'vitest';
import { systemRandom } from '../../lib/api.ts';
import { createFleetRoot } from './issuing-authority.ts';
import { openRoot, sealRoot } from './root-file.ts';
import type { RootSecret } from './root-file.ts';

const cost = { memoryKiB: 8_192, passes: 1, lanes: 1 };
const passphrase = 'correct horse battery';
const names = { fleetId: '01jz0000000000000000000001', fleetName: 'Test' };

describe('the file of a fleet root', () => {
  let secret: RootSecret;
  let file: string;
  beforeAll(async () => {
    secret = { ...names, root: await createFleetRoot(names, { now: 1_790_000_000_000, random: systemRandom }) };
    file = await sealRoot(secret, passphrase, { random: systemRandom, cost });
  });

  it('opens with its passphrase and with no other, and never shows the key', async () => {
    await expect(openRoot(file, passphrase)).resolves.toEqual(secret);
    await expect(openRoot(file, `${passphrase}!`)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
    expect(file).not.toContain('PRIVATE KEY');
  });

  it('refuses weak passphrases, other files and any change', async () => {
    await expect(sealRoot(secret, 'short', { random: systemRandom, cost })).rejects.toMatchObject({ code: 'PASSPHRASE_WEAK' });
    await expect(openRoot('{"format":"nest-vault"}', passphrase)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(openRoot('x'.repeat(70_000), passphrase)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(openRoot(file.replace('"Test"', '"Best"'), passphrase)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
    const other = await createFleetRoot(names, { now: 1_790_000_000_000, random: systemRandom });
    const certificate = JSON.stringify(other.certificate);
    const swapped = file.replace(JSON.stringify(secret.root.certificate), certificate);
    expect(swapped).not.toBe(file);
    await expect(openRoot(swapped, passphrase)).rejects.toMatchObject({ code: 'PASSPHRASE_WRONG' });
  });
});
