/** JSON says nothing about a key that stands twice: parsers keep the last, readers see the first. In a policy that is refused. */
import { NestError } from './error.ts';

export interface DuplicateKey {
  readonly key: string;
  /** Lines, from 1. */
  readonly firstLine: number;
  readonly line: number;
}

interface Level {
  /** Offset of the first occurrence, by key; null in an array. */
  readonly keys: Map<string, number> | null;
  isKeyNext: boolean;
}

const quote = 0x22;
const backslash = 0x5c;

/** The first key that stands twice in one object; null when there is none. The text must be JSON: broken text has no answer. */
export const duplicateKeyOf = (json: string): DuplicateKey | null => {
  const levels: Level[] = [];
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    const level = levels.at(-1);
    if (code === quote) {
      const end = endOfString(json, at);
      if (level?.isKeyNext === true && level.keys !== null) {
        const key = keyIn(json.slice(at, end + 1));
        const first = level.keys.get(key);
        if (first !== undefined) return { key, firstLine: lineAt(json, first), line: lineAt(json, at) };
        level.keys.set(key, at);
        level.isKeyNext = false;
      }
      at = end;
    } else if (code === 0x7b) levels.push({ keys: new Map(), isKeyNext: true });
    else if (code === 0x5b) levels.push({ keys: null, isKeyNext: false });
    else if (code === 0x7d || code === 0x5d) levels.pop();
    else if (code === 0x2c && level !== undefined) level.isKeyNext = level.keys !== null;
  }
  return null;
};

/** Raises POLICY_INVALID with the line of a key that stands twice. */
export const refuseDuplicateKeys = (policyJson: string): void => {
  const found = duplicateKeyOf(policyJson);
  if (found === null) return;
  const { key, firstLine, line } = found;
  const message = `The key ${JSON.stringify(key.slice(0, 64))} stands twice in one object, in line ${String(firstLine)} and again in line ${String(line)}. Remove one of them.`;
  throw new NestError('POLICY_INVALID', message, {
    details: { problems: [{ path: '', code: 'KEY_DUPLICATE', message }], problem: 'KEY_DUPLICATE', line },
  });
};

/** Offset of the closing quote. */
const endOfString = (json: string, start: number): number => {
  for (let at = start + 1; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === quote) return at;
    if (code === backslash) at++;
  }
  return json.length;
};

/** "a" and "\u0061" are one key. */
const keyIn = (quoted: string): string => {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    // Broken text: whoever parses it says where.
    return quoted;
  }
};

const lineAt = (json: string, offset: number): number => json.slice(0, offset).split('\n').length;
