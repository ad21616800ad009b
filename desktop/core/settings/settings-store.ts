/** Look and density of the console; the Electron host brings its own store. */
import Conf from 'conf';
import type { Settings } from '../../bridge/model.ts';

export interface SettingsStore {
  get(): Settings;
  /** Changes what is given and returns all. */
  put(changes: Partial<Settings>): Settings;
}

export const settingsDefault: Settings = { scheme: 'dark', density: 'comfortable' };

/** Same names and bounds as the bridge contract; what a hand has broken in the file falls back to the defaults. */
const schema = {
  scheme: { type: 'string', enum: ['dark', 'light', 'contrast', 'system'], default: settingsDefault.scheme },
  density: { type: 'string', enum: ['compact', 'comfortable'], default: settingsDefault.density },
} as const;

/** Settings in settings.json of the data folder; written atomically. */
export const createConfSettings = (dataDirectory: string): SettingsStore => {
  const conf = new Conf<Settings>({ cwd: dataDirectory, configName: 'settings', projectName: 'nest', schema, clearInvalidConfig: true });
  const get = (): Settings => ({ scheme: conf.get('scheme'), density: conf.get('density') });
  return {
    get,
    put: (changes) => {
      conf.set({ ...get(), ...changes });
      return get();
    },
  };
};

/** Settings that are forgotten with the process. */
export const createMemorySettings = (): SettingsStore => {
  let settings = settingsDefault;
  return {
    get: () => settings,
    put: (changes) => (settings = { ...settings, ...changes }),
  };
};
