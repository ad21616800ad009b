/**
 * The native part's one face for the agent's engine: the addon, the files it needs, its types, and the policy compiler.
 * It never touches the kernel by itself: `probe` and `open` of the addon do.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NativeAddon, NativeErrorCode } from './addon.ts';

export type * from './addon.ts';
export * from './explain/api.ts';
export * from './image/api.ts';

/** Version of native/addon.ts this build was written against; the addon carries the same number. */
const abi = 3;
/** From a bundle in dist/agent, or from native/ in the repository, the folder `dist` is at most that far up. */
const parentsMax = 4;

/** A native failure as native/addon.ts describes it. */
class NativeError extends Error {
  override readonly name = 'NativeError';
  readonly code: NativeErrorCode;
  readonly step: string;

  constructor(code: NativeErrorCode, message: string, options: { readonly step: string; readonly cause?: unknown }) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.step = options.step;
  }
}

const here = dirname(fileURLToPath(import.meta.url));

/** First existing `<parent>/dist/<path>` or `<parent>/<path>` from this module upwards. */
const findFile = (path: string): string | undefined => {
  let folder = here;
  for (let level = 0; level < parentsMax; level += 1) {
    const found = [join(folder, 'dist', path), join(folder, path)].find((candidate) => existsSync(candidate));
    if (found !== undefined) return found;
    folder = dirname(folder);
  }
  return undefined;
};

const isAddon = (value: unknown): value is NativeAddon =>
  typeof value === 'object' && value !== null && 'abi' in value && 'open' in value && 'probe' in value;

const requireAddon = (path: string): NativeAddon => {
  let loaded: unknown;
  try {
    loaded = createRequire(import.meta.url)(path);
  } catch (cause) {
    throw new NativeError('NATIVE_UNAVAILABLE', 'the native addon cannot be loaded', {
      step: 'install libbpf1 on this host, or build the addon again (npm run build)',
      cause,
    });
  }
  if (isAddon(loaded) && loaded.abi === abi) return loaded;
  throw new NativeError('NATIVE_UNAVAILABLE', 'the native addon belongs to another version of Nest', {
    step: 'build it again (npm run build)',
  });
};

/**
 * The addon. Throws an error with code NATIVE_UNAVAILABLE and a `step` on other systems than Linux, and when the
 * addon was not built, does not load, or is of another version.
 */
export const loadNative = (): NativeAddon => {
  if (process.platform !== 'linux') {
    throw new NativeError('NATIVE_UNAVAILABLE', `the packet engine needs Linux, this is ${process.platform}`, {
      step: 'run the agent in observe mode on this host',
    });
  }
  const path = findFile('native/nest.node');
  if (path === undefined)
    throw new NativeError('NATIVE_UNAVAILABLE', 'the native addon is not there', { step: 'build it (npm run build)' });
  return requireAddon(path);
};

/** Path of the packet program, for `open`. Throws NATIVE_UNAVAILABLE when it was not built. */
export const bpfObjectPath = (): string => {
  const path = findFile('bpf/nest_xdp.bpf.o');
  if (path === undefined)
    throw new NativeError('NATIVE_UNAVAILABLE', 'the packet program is not there', { step: 'build it (npm run build)' });
  return path;
};
