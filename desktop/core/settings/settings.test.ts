import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConfSettings, createMemorySettings, settingsDefault } from './settings-store.ts';
import type { SettingsStore } from './settings-store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-settings-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const stores: Readonly<Record<string, () => SettingsStore>> = { file: () => createConfSettings(folder), memory: createMemorySettings };

describe.each(Object.entries(stores))('settings in %s', (_kind, open) => {
  it('begin with the defaults and change one at a time', () => {
    const settings = open();
    expect(settings.get()).toEqual(settingsDefault);
    expect(settings.put({ density: 'compact' })).toEqual({ ...settingsDefault, density: 'compact' });
    expect(settings.put({ scheme: 'contrast' })).toEqual({ scheme: 'contrast', density: 'compact' });
  });
});

describe('settings in a file', () => {
  it('outlive the process and survive a damaged file', () => {
    createConfSettings(folder).put({ scheme: 'light' });
    expect(createConfSettings(folder).get().scheme).toBe('light');
    writeFileSync(join(folder, 'settings.json'), '{"scheme":');
    expect(createConfSettings(folder).get()).toEqual(settingsDefault);
    writeFileSync(join(folder, 'settings.json'), '{"scheme":"pink"}');
    expect(createConfSettings(folder).get()).toEqual(settingsDefault);
  });
});
