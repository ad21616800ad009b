import { expect, it, vi } from 'vitest';
import { createFakeElectron } from './fake-electron.ts';

const fake = createFakeElectron({ isPackaged: true, isFirstInstance: true, switches: [] });
const stores: unknown[] = [];

vi.mock('electron', () => ({ ...fake.module }));
vi.mock('electron-store', () => ({
  default: class {
    constructor(options: unknown) {
      stores.push(options);
    }

    get(): undefined {
      return undefined;
    }
  },
}));

it('the entry starts the shell with the built files beside it and a store that holds the window alone', async () => {
  await import('./main.ts');
  await expect.poll(() => fake.windows.length).toBe(1);
  expect(fake.windows[0]?.options.webPreferences['preload']).toMatch(/\/preload\/preload\.cjs$/);
  expect(fake.calls.find((call) => call.startsWith('fork'))).toMatch(/\/core\/core\.mjs --data \/fake\/userData$/);
  expect(stores).toMatchObject([{ name: 'window', clearInvalidConfig: true, schema: { bounds: { additionalProperties: false } } }]);
  expect(fake.errors).toEqual([]);
});
