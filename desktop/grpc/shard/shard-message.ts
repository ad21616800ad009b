/**
 * What the console's own thread and a shard, which holds the connections of a part of the fleet, say to each other: plain data in batches.
 * Serialised messages of a batch lie in one block of bytes, so that a thousand statuses a second do not cost a thousand copies.
 */
import { NestError } from '../../../proto/model/error.ts';
import type { ErrorShape } from '../../../proto/model/error.ts';
import type { Endpoint } from '../channel.ts';
import type { Greeting } from '../connection.ts';
import type { OperatorMaterial } from '../operator-identity.ts';
import type { AgentIdentity } from '../peer-identity.ts';
import type { StepUpEvidence } from '../wire-session.ts';

/** A part of the batch's bytes. */
export interface Piece {
  readonly at: number;
  readonly length: number;
}

/** `link` and `call` are numbers that the console gives; `connection` counts the connections of a link. */
export type ShardOrder =
  | { readonly kind: 'identify'; readonly operator: OperatorMaterial; readonly evidence: StepUpEvidence | null }
  | {
      readonly kind: 'open';
      readonly link: number;
      readonly endpoint: Endpoint;
      readonly identity: AgentIdentity;
      readonly consoleVersion: string;
    }
  /** Another key is approved from now on. */
  | { readonly kind: 'expect'; readonly link: number; readonly identity: AgentIdentity }
  /** Ends the connection because of this, and makes it anew. */
  | { readonly kind: 'renew'; readonly link: number; readonly connection: number; readonly error: ErrorShape }
  | { readonly kind: 'close'; readonly link: number }
  /** `ending`: the last bytes of the request, the same for many hosts and therefore in memory that both ends see; another process needs a copy. */
  | ({ readonly kind: 'call'; readonly deadlineMs: number; readonly ending: Uint8Array | null } & CallPlace)
  | ({ readonly kind: 'stream'; readonly isBulk: boolean } & CallPlace)
  | { readonly kind: 'cancel'; readonly call: number };

export interface CallPlace {
  readonly call: number;
  readonly link: number;
  readonly connection: number;
  readonly path: string;
  readonly request: Piece;
}

export type ShardEvent =
  | { readonly kind: 'up'; readonly link: number; readonly connection: number; readonly greeting: Greeting }
  | {
      readonly kind: 'down';
      readonly link: number;
      readonly outage: { readonly error: ErrorShape; readonly since: number; readonly attempts: number };
    }
  | { readonly kind: 'closed'; readonly link: number }
  | { readonly kind: 'answer'; readonly call: number; readonly answer: Piece }
  /** A call failed, or a stream ended; null = in order. All messages of its batch came before. */
  | { readonly kind: 'ended'; readonly call: number; readonly error: ErrorShape | null }
  /** Hosts of this shard that wait for their handshake. */
  | { readonly kind: 'waiting'; readonly hosts: number };

/**
 * What is said most is numbers, which cost a fraction of objects on the way between threads: to the console three for each message of a stream
 * (its call, and where among the bytes it begins and how long it is), to the shard two for each credit (a call, and how many more of its
 * messages may come). They come before the items of the batch.
 */
export interface ShardBatch<Item> {
  readonly numbers: Uint32Array;
  readonly items: readonly Item[];
  readonly bytes: Uint8Array;
}

/** One end of the way between the two: worker threads today, processes of Electron the same. */
export interface ShardPort<In, Out> {
  /** Hands the batch over; its bytes are not the sender's any more. */
  post(batch: ShardBatch<Out>): void;
  /** Called once, before the first batch can come. */
  receive(listener: (batch: ShardBatch<In>) => void): void;
  /** When the other end is gone without having been closed. */
  onLost(listener: (cause: unknown) => void): void;
  close(): Promise<void>;
}

export type ConsoleEnd = ShardPort<ShardEvent, ShardOrder>;
export type ShardEnd = ShardPort<ShardOrder, ShardEvent>;

/** Bytes and numbers of a batch without any. */
export const noBytes = new Uint8Array(0);
export const noNumbers = new Uint32Array(0);

/** What changes hands with a batch instead of being copied. */
export const heldBy = ({ bytes, numbers }: Pick<ShardBatch<unknown>, 'bytes' | 'numbers'>): ArrayBuffer[] =>
  [bytes, numbers].filter(({ byteLength }) => byteLength > 0).map(({ buffer }) => buffer as ArrayBuffer);
/** Messages of one stream that are under way to the console before it has read the first, at most. */
export const streamCreditMax = 16;

/** The bytes of one piece, without a copy. */
export const pieceOf = ({ bytes }: { readonly bytes: Uint8Array }, { at, length }: Piece): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset + at, length);

/** An error that came from the other thread. */
export const errorOf = ({ code, message, details }: ErrorShape): NestError => new NestError(code, message, { details });
