/** Looks into a document of any shape, for checks that must not trust it. */

/** The value's own field; undefined when there is none. */
export const fieldOf = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;

/** The list in a field; empty when it is none. */
export const listIn = (value: unknown, key: string): readonly unknown[] => {
  const list = fieldOf(value, key);
  return Array.isArray(list) ? list : [];
};

/** The text in a field. */
export const textIn = (value: unknown, key: string): string | undefined => {
  const text = fieldOf(value, key);
  return typeof text === 'string' ? text : undefined;
};

/** The number in a field. */
export const numberIn = (value: unknown, key: string): number | undefined => {
  const number = fieldOf(value, key);
  return typeof number === 'number' ? number : undefined;
};

/** What lies at a path. */
export const valueAt = (input: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, key) => fieldOf(value, key), input);
