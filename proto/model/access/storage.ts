/** A chain as text for a file, and back: what is read is verified again, step by step. */
import { SignedEnvelope } from '../../gen/nest/v1/envelope.ts';
import { NestError } from '../error.ts';
import { emptyChain, takeUpdate } from './chain.ts';
import type { AccessChain } from './chain.ts';

interface StoredChain {
  readonly format: 'nest-access';
  readonly version: 1;
  readonly fleetId: string;
  /** Envelopes, base64. */
  readonly updates: readonly string[];
  readonly hashes: readonly (readonly [revision: number, hash: string])[];
  readonly forks: readonly { readonly envelope: string; readonly seenAtMs: number }[];
}

/** Base64 of the exact bytes of an envelope. */
export const envelopeText = (envelope: SignedEnvelope): string => Buffer.from(SignedEnvelope.encode(envelope).finish()).toString('base64');

/** The envelope of a text. Raises INPUT_INVALID. */
export const envelopeOf = (text: string): SignedEnvelope => {
  try {
    return SignedEnvelope.decode(Buffer.from(text, 'base64'));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This is no signed envelope. Copy it again, whole.', { cause: error });
  }
};

/** Everything but the marks, which are kept apart. */
export const chainText = ({ fleetId, updates, hashes, forks }: AccessChain): string =>
  JSON.stringify({
    format: 'nest-access',
    version: 1,
    fleetId,
    updates: updates.map(({ envelope }) => envelopeText(envelope)),
    hashes: [...hashes],
    forks: forks.map(({ envelope, seenAtMs }) => ({ envelope: envelopeText(envelope), seenAtMs })),
  } satisfies StoredChain);

/** The chain of a text, or null when it is of another fleet. Raises STATE_CORRUPT when a step of it does not hold. */
export const chainOf = (text: string, { fleetId, root, marks }: Pick<AccessChain, 'fleetId' | 'root' | 'marks'>): AccessChain | null => {
  try {
    const stored = JSON.parse(text) as StoredChain;
    if (stored.fleetId !== fleetId) return null;
    let chain = emptyChain(fleetId, root, marks);
    for (const update of stored.updates) chain = takeUpdate(chain, envelopeOf(update), 0).chain;
    const hashes = new Map([...stored.hashes, ...chain.hashes]);
    chain = { ...chain, hashes: new Map([...hashes].sort(([a], [b]) => a - b)) };
    for (const { envelope, seenAtMs } of stored.forks) chain = takeUpdate(chain, envelopeOf(envelope), seenAtMs).chain;
    return chain;
  } catch (error) {
    throw new NestError('STATE_CORRUPT', 'The stored access bundle does not hold. A console delivers it again.', { cause: error });
  }
};
