/** Equality of plain data, as documents have it. */

/** True when two values of JSON say the same; a field that is undefined counts as absent. */
export const isSameValue = (a: unknown, b: unknown): boolean => {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && isSameList(a, b);
  return !Array.isArray(b) && isSameObject(a as Fields, b as Fields);
};

type Fields = Readonly<Record<string, unknown>>;

/** Loops by index, because whole documents of ten thousands of entries are compared at each keystroke. */
const isSameList = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  if (a.length !== b.length) return false;
  for (let position = 0; position < a.length; position++) if (!isSameValue(a[position], b[position])) return false;
  return true;
};

const isSameObject = (a: Fields, b: Fields): boolean => {
  let fields = 0;
  for (const key in a) {
    const value = a[key];
    if (value === undefined) continue;
    if (!isSameValue(value, b[key])) return false;
    fields++;
  }
  for (const key in b) if (b[key] !== undefined) fields--;
  return fields === 0;
};
