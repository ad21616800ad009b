import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundleAll, externalPackages, targets } from './bundle.ts';
import { root } from './stamp.ts';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly main: string;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
};

describe('the bundles', () => {
  it('have each a name, a folder and inputs of their own that hold their entry', () => {
    expect(new Set(targets.map(({ name }) => name)).size).toBe(targets.length);
    expect(new Set(targets.map(({ output }) => output.slice(0, output.lastIndexOf('/')))).size).toBe(targets.length);
    for (const { entry, inputs } of targets) expect(inputs.some((input) => entry.startsWith(`${input}/`))).toBe(true);
    expect(targets.map(({ output }) => output)).toContain(manifest.main);
  });

  it('leave outside only packages that are installed where the bundle runs', () => {
    for (const name of externalPackages)
      expect(Object.keys(name === 'electron' ? manifest.devDependencies : manifest.dependencies)).toContain(name);
  });

  it('refuse a target that does not exist before anything is built', () => {
    expect(() => bundleAll(['agent', 'agnet'])).toThrow(
      'there is no target agnet; there are renderer, agent, web, cli, core, shard, main, preload',
    );
  });
});
