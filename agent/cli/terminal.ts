import type { Environment } from '../config/load.ts';

/** Everything a command may reach outside its arguments. */
export interface Terminal {
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** A fingerprint in groups of four, as people compare them. */
export const inGroups = (hex: string): string => hex.replaceAll(/(.{4})(?=.)/g, '$1 ');

/** Minutes and seconds of a duration in milliseconds: "9 min 58 s". */
export const spellDuration = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
};
