import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FuseV1Options, FuseVersion, flipFuses } from '@electron/fuses';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

type Configuration = Record<string, unknown>;

// The tool's own validator; not part of its typed face, so it is loaded by its file, from where the tool is.
const builderRequire = createRequire(createRequire(import.meta.url).resolve('electron-builder/package.json'));
const tool = builderRequire('app-builder-lib/out/util/config/config.js') as {
  validateConfiguration(configuration: Configuration, log: { isEnabled: boolean }): Promise<void>;
};

const root = new URL('../../', import.meta.url);
const readConfiguration = (): Configuration => parse(readFileSync(new URL('electron-builder.yml', root), 'utf8')) as Configuration;
const validate = (configuration: Configuration): Promise<void> => tool.validateConfiguration(configuration, { isEnabled: false });

describe('electron-builder.yml', () => {
  it('passes the validator of electron-builder', async () => {
    await expect(validate(readConfiguration())).resolves.toBeUndefined();
  });

  it('is really looked at: a misspelt key is refused by name', async () => {
    await expect(validate({ ...readConfiguration(), electronFuse: {} })).rejects.toThrow(/electronFuse/);
    const { linux, ...rest } = readConfiguration();
    await expect(validate({ ...rest, linux: { ...(linux as object), execArgs: [] } })).rejects.toThrow(/configuration.linux/);
  });

  it('writes out every fuse electron-builder knows, the safe way', () => {
    const schema = JSON.parse(readFileSync(builderRequire.resolve('app-builder-lib/scheme.json'), 'utf8')) as {
      definitions: { FuseOptionsV1: { properties: object } };
    };
    const known = Object.keys(schema.definitions.FuseOptionsV1.properties).filter((name) => name !== 'strictlyRequireAllFuses');
    const fuses = readConfiguration()['electronFuses'];
    expect(Object.keys(fuses as object).sort()).toEqual(known.sort());
    expect(fuses).toEqual({
      runAsNode: false,
      enableCookieEncryption: true,
      enableNodeOptionsEnvironmentVariable: false,
      enableNodeCliInspectArguments: false,
      enableEmbeddedAsarIntegrityValidation: true,
      onlyLoadAppFromAsar: true,
      loadBrowserProcessSpecificV8Snapshot: false,
      grantFileProtocolExtraPrivileges: false,
      resetAdHocDarwinSignature: true,
    });
  });

  it('flips the fuses of a binary as written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-fuses-'));
    try {
      // What @electron/fuses looks for in a binary: a mark, the version of the wire, its length, and one digit a fuse.
      const binary = join(folder, 'electron');
      writeFileSync(binary, Buffer.concat([Buffer.from('dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'), Buffer.from([1, 8]), Buffer.from('10110011')]));
      const fuses = readConfiguration()['electronFuses'] as Record<string, boolean>;
      await flipFuses(binary, {
        version: FuseVersion.V1,
        [FuseV1Options.RunAsNode]: fuses['runAsNode'],
        [FuseV1Options.EnableCookieEncryption]: fuses['enableCookieEncryption'],
        [FuseV1Options.EnableNodeOptionsEnvironmentVariable]: fuses['enableNodeOptionsEnvironmentVariable'],
        [FuseV1Options.EnableNodeCliInspectArguments]: fuses['enableNodeCliInspectArguments'],
        [FuseV1Options.EnableEmbeddedAsarIntegrityValidation]: fuses['enableEmbeddedAsarIntegrityValidation'],
        [FuseV1Options.OnlyLoadAppFromAsar]: fuses['onlyLoadAppFromAsar'],
        [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: fuses['loadBrowserProcessSpecificV8Snapshot'],
        [FuseV1Options.GrantFileProtocolExtraPrivileges]: fuses['grantFileProtocolExtraPrivileges'],
      });
      expect(readFileSync(binary).subarray(-8).toString('latin1')).toBe('01001100');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('never weakens the sandbox and ships neither sources nor maps', () => {
    const text = readFileSync(new URL('electron-builder.yml', root), 'utf8');
    expect(text).not.toMatch(/no-sandbox|disable-library-validation|allow-unsigned/);
    const entitlements = readFileSync(new URL('assets/entitlements.mac.plist', root), 'utf8');
    expect([...entitlements.matchAll(/<key>(.*?)<\/key>/g)].map(([, key]) => key)).toEqual([
      'com.apple.security.cs.allow-jit',
      'com.apple.security.network.client',
    ]);
    const { files } = readConfiguration() as { files: readonly string[] };
    expect(files[0]).toBe('!**/*');
    expect(files.filter((pattern) => /\.ts|src|test|desktop\/\*\*/.test(pattern))).toEqual([]);
  });

  it('names files that exist', () => {
    const { main } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { main: string };
    expect(main).toBe('dist/desktop/main/main.js');
    const icon = readFileSync(fileURLToPath(new URL('assets/icon.png', root)));
    expect([icon.readUInt32BE(16), icon.readUInt32BE(20)]).toEqual([512, 512]);
  });
});
