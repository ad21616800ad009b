/** Where a binding holds: everywhere, in a cluster, on a host, for a mapping. */
import { NestError } from '../error.ts';

export interface Level {
  readonly kind: '*' | 'cluster' | 'host' | 'mapping';
  readonly id: string;
}

/** Agent ids by cluster id. */
export type ClusterMembers = ReadonlyMap<string, ReadonlySet<string>>;

const shapes: readonly (readonly [kind: Level['kind'], shape: RegExp])[] = [
  ['cluster', /^cluster\/([a-z0-9][a-z0-9-]{0,62})$/],
  ['host', /^host\/([0-9A-HJKMNP-TV-Z]{26})$/],
  ['mapping', /^mapping\/([A-Za-z0-9][A-Za-z0-9._-]{0,62})$/],
];

/** Null when the text is no level. */
export const parseLevel = (text: string): Level | null => {
  if (text === '*') return { kind: '*', id: '' };
  for (const [kind, shape] of shapes) {
    const [, id] = shape.exec(text) ?? [];
    if (id !== undefined) return { kind, id };
  }
  return null;
};

/** Raises INPUT_INVALID. */
export const requireLevel = (text: string): Level => {
  const parsed = parseLevel(text);
  if (parsed !== null) return parsed;
  throw new NestError(
    'INPUT_INVALID',
    `${JSON.stringify(text.slice(0, 80))} is no level. Write "*", "cluster/<id>", "host/<host id>" or "mapping/<name>".`,
  );
};

/** True when everything at `asked` is also at `held`. */
export const coversLevel = (held: Level, asked: Level, members: ClusterMembers): boolean => {
  if (held.kind === '*') return true;
  if (held.kind === asked.kind) return held.id === asked.id;
  return held.kind === 'cluster' && asked.kind === 'host' && members.get(held.id)?.has(asked.id) === true;
};
