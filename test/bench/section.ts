/** A part of suite "packet": measured inside the benchmark's namespace with a data path of its own, reported outside. */
import type { DataPath } from '../../native/addon.ts';
import type { Row } from './report.ts';

/** What a section measures with. */
export interface Bench {
  readonly path: DataPath;
  readonly pinPath: string;
  /** The link under test, and its other end: both in this network namespace. */
  readonly link: string;
  readonly peer: string;
  readonly signal: AbortSignal;
  /** Ends the section when nobody waits for it any more. */
  throwIfUnwanted(): void;
  /** Makes the image current under the next sequence. */
  swap(image: Uint8Array): Promise<{ readonly loadMs: number; readonly flipMs: number }>;
}

export interface Section<Measured> {
  readonly name: string;
  /** Plain data: it travels as JSON. */
  readonly measure: (bench: Bench) => Promise<Measured>;
  /** Raises BenchRefused when the machine was too restless. */
  readonly rows: (measured: Measured) => readonly Row[];
}

/** Samples of every figure. */
export const rounds = 7;

export const count = (value: number, what: string): string => `${value.toLocaleString('en-US')} ${what}${value === 1 ? '' : 's'}`;
