/** Where the window was, kept by electron-store. Nothing secret is ever put here. */
import type { Rectangle } from 'electron';
import type ElectronStore from 'electron-store';

export interface StoredSettings {
  readonly bounds?: Rectangle;
}

export interface WindowSettings {
  bounds(): Partial<Rectangle>;
  putBounds(bounds: Rectangle): void;
}

const side = { type: 'integer', minimum: 200, maximum: 20_000 } as const;
const place = { type: 'integer', minimum: -40_000, maximum: 40_000 } as const;

/** Options of the store: a file a person damaged is replaced, not a reason not to start. */
export const storeOptions = {
  name: 'window',
  clearInvalidConfig: true,
  schema: {
    bounds: {
      type: 'object',
      properties: { x: place, y: place, width: side, height: side },
      required: ['x', 'y', 'width', 'height'],
      additionalProperties: false,
    },
  },
} as const;

/** `isVisible` says whether a place is on a screen that is there now. */
export const createWindowSettings = (
  store: Pick<ElectronStore<StoredSettings>, 'get' | 'set'>,
  isVisible: (bounds: Rectangle) => boolean,
): WindowSettings => ({
  bounds: () => {
    const bounds = store.get('bounds');
    return bounds !== undefined && isVisible(bounds) ? bounds : {};
  },
  putBounds: (bounds) => {
    store.set('bounds', bounds);
  },
});
