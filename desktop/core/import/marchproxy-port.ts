/** Ports as MarchProxy writes them. */

/** A port field as text, "?" for anything else. */
export const portInText = (value: unknown): string => (typeof value === 'number' || typeof value === 'string' ? String(value) : '?');

/** A port 1 to 65535 as text; undefined for anything else. */
export const toPort = (value: unknown): string | undefined => {
  const port = Number(typeof value === 'string' && /^[0-9]{1,5}$/.test(value) ? value : typeof value === 'number' ? value : Number.NaN);
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? String(port) : undefined;
};

/** A port or range as a policy writes it; undefined for anything else. */
export const toPorts = (text: string): string | undefined => {
  const range = /^([0-9]{1,5})\s*-\s*([0-9]{1,5})$/.exec(text);
  if (range === null) return toPort(text);
  const [first, last] = [toPort(range[1]), toPort(range[2])];
  return first === undefined || last === undefined || Number(first) > Number(last) ? undefined : `${first}-${last}`;
};
