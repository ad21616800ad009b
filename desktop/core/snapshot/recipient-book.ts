/** Public keys of people who get snapshots, by name, kept by this console. */
import { NestError } from '../../../proto/model/error.ts';
import type { SnapshotRecipientEntry } from '../../bridge/snapshot-model.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { parseRecipient, recipientText } from './snapshot-key.ts';

const bookName = 'snapshot.recipients';
const entriesMax = 200;

type Book = Pick<FleetCache, 'value' | 'putValue'>;

/** By name. */
export const listRecipients = (cache: Book): readonly SnapshotRecipientEntry[] =>
  cache.value<readonly SnapshotRecipientEntry[]>(bookName) ?? [];

/** A new entry, or another key under its name. Raises INPUT_INVALID, LIMIT_REACHED. */
export const putRecipient = (cache: Book, { name, recipient }: SnapshotRecipientEntry): readonly SnapshotRecipientEntry[] => {
  const entry = { name, recipient: recipientText(parseRecipient(recipient)) };
  const others = listRecipients(cache).filter((known) => known.name !== name);
  if (others.length >= entriesMax)
    throw new NestError('LIMIT_REACHED', `The book has ${String(entriesMax)} recipients already. Remove one, then try again.`);
  return keep(
    cache,
    [...others, entry].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  );
};

/** Raises NOT_FOUND. */
export const removeRecipient = (cache: Book, name: string): readonly SnapshotRecipientEntry[] => {
  const book = listRecipients(cache);
  if (!book.some((known) => known.name === name)) throw unknown(name);
  return keep(
    cache,
    book.filter((known) => known.name !== name),
  );
};

/** Keys of recipients, each once: of names in the book, or as they are written. Raises NOT_FOUND, INPUT_INVALID. */
export const recipientKeys = (cache: Book, wanted: readonly string[]): readonly Buffer[] => {
  const book = new Map(listRecipients(cache).map(({ name, recipient }) => [name, recipient]));
  const texts = new Set(
    wanted.map((text) => {
      const known = book.get(text);
      if (known === undefined && !text.startsWith('nestrcpt')) throw unknown(text);
      return known ?? text.trim();
    }),
  );
  return [...texts].map(parseRecipient);
};

const keep = (cache: Book, book: readonly SnapshotRecipientEntry[]): readonly SnapshotRecipientEntry[] => {
  cache.putValue(bookName, book);
  return book;
};

const unknown = (name: string): NestError =>
  new NestError('NOT_FOUND', `There is no recipient ${name.slice(0, 63)} in the book. Add it with its nestrcpt1.... text.`);
