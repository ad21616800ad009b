import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/** Runs in a session bus with a keyring of its own: stores a fleet's keys, forgets them, opens them again. */
const program = `
import { createKeychainVault } from ${JSON.stringify(fileURLToPath(new URL('keychain-vault.ts', import.meta.url)))};
import { systemKeychain } from ${JSON.stringify(fileURLToPath(new URL('keychain.ts', import.meta.url)))};
import { systemClock, systemRandom } from ${JSON.stringify(fileURLToPath(new URL('../../lib/api.ts', import.meta.url)))};
const open = () => createKeychainVault({ path: process.argv[2], keychain: systemKeychain(), clock: systemClock(), random: systemRandom });
const header = { fleetId: 'f', fleetName: 'Test', operatorName: 'Test Operator', operatorCertificateEndsAt: 1 };
const probe = await open().probe(new AbortController().signal);
if (probe.available) await open().create({ header, secret: new Uint8Array(3000).fill(7), passphrase: undefined });
const secret = probe.available ? await open().open(undefined) : new Uint8Array();
console.log(JSON.stringify({ probe, length: secret.length, isSame: secret.every((byte) => byte === 7) }));
process.exit();
`;

const missingTool = (): string | undefined =>
  ['dbus-run-session', 'gnome-keyring-daemon'].find((tool) => spawnSync(tool, ['--help']).error !== undefined);

const runInSession = (unlock: string): { readonly stdout: string; readonly stderr: string } => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-keychain-'));
  try {
    writeFileSync(join(folder, 'program.mts'), program);
    const script = `${unlock} exec "$0" "$1" "$2"`;
    const { DISPLAY: _display, DBUS_SESSION_BUS_ADDRESS: _bus, ...environment } = process.env;
    const environmentOfSession = { ...environment, HOME: folder, XDG_RUNTIME_DIR: folder, XDG_DATA_HOME: join(folder, 'share') };
    const result = spawnSync(
      'dbus-run-session',
      ['--', 'sh', '-c', script, process.execPath, join(folder, 'program.mts'), join(folder, 'vault.json')],
      { encoding: 'utf8', env: environmentOfSession, timeout: 15_000 },
    );
    return { stdout: result.stdout, stderr: result.stderr };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

describe('the keychain of the system', () => {
  it('keeps the key of a fleet in a real secret service', (context) => {
    const missing = missingTool();
    if (missing !== undefined) {
      console.log(`SKIP keychain: ${missing} is not installed`);
      context.skip(`${missing} is not installed`);
    }
    const { stdout, stderr } = runInSession('eval "$(printf password | gnome-keyring-daemon --unlock --components=secrets)";');
    expect(stdout, stderr).toContain(
      '{"probe":{"available":true,"reason":"Keys are kept in the keychain of this system."},"length":3000,"isSame":true}',
    );
  });

  it('says why when no secret service is there', (context) => {
    const missing = missingTool();
    if (missing !== undefined) {
      console.log(`SKIP keychain: ${missing} is not installed`);
      context.skip(`${missing} is not installed`);
    }
    const environment = { ...process.env, DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nonexistent', DISPLAY: '' };
    const folder = mkdtempSync(join(tmpdir(), 'nest-keychain-'));
    try {
      writeFileSync(join(folder, 'program.mts'), program);
      const { stdout } = spawnSync(process.execPath, [join(folder, 'program.mts'), join(folder, 'vault.json')], {
        encoding: 'utf8',
        env: environment,
        timeout: 15_000,
      });
      expect(stdout).toContain('"available":false,"reason":"This system has no usable keychain (');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
