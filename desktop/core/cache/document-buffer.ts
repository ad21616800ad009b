/** Documents on their way to the disk: a fleet that connects writes thousands, and one transaction for each would hold up the event loop. */
import type { Clock } from '../../lib/api.ts';
import type { CachedDocument, DocumentKind, FleetCache } from './fleet-cache.ts';

/** A crash loses no more than this. */
const flushAfterMs = 250;
/** At so many they are written at once. */
const bufferedMax = 512;

type Document = Parameters<FleetCache['putDocuments']>[0][number];

export interface DocumentBufferOptions {
  readonly clock: Clock;
  /** A write that failed after its caller went on. */
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

/**
 * The cache with `putDocuments` written together, at most `flushAfterMs` later; whoever reads gets what was put last, written or not.
 * `close` writes the rest. A write that fails later is reported and its documents are dropped: they are what hosts said last, and the hosts say it again.
 */
export const withDocumentBuffer = (cache: FleetCache, { clock, report }: DocumentBufferOptions): FleetCache => {
  const buffered = new Map<string, Document>();
  const closing = new AbortController();
  let isScheduled = false;
  const flush = (): void => {
    const documents = [...buffered.values()];
    buffered.clear();
    if (documents.length > 0) cache.putDocuments(documents);
  };
  const flushLater = (): void => {
    isScheduled = false;
    try {
      flush();
    } catch (error) {
      report('what hosts said last could not be stored', { error });
    }
  };
  return {
    ...cache,
    document: <Content>(hostId: string, kind: DocumentKind): CachedDocument<Content> | null => {
      const found = buffered.get(nameOf({ hostId, kind }));
      // As read from the disk: a copy, so that nobody changes what is still to be written.
      return found === undefined
        ? cache.document<Content>(hostId, kind)
        : { at: Math.round(found.at), content: structuredClone(found.content) as Content };
    },
    putDocuments: (documents) => {
      for (const document of documents) buffered.set(nameOf(document), document);
      if (buffered.size >= bufferedMax) flush();
      if (isScheduled || buffered.size === 0) return;
      isScheduled = true;
      clock.sleep(flushAfterMs, closing.signal).then(flushLater, () => undefined);
    },
    removeHost: (hostId) => {
      for (const [name, document] of buffered) if (document.hostId === hostId) buffered.delete(name);
      cache.removeHost(hostId);
    },
    close: () => {
      closing.abort();
      flushLater();
      cache.close();
    },
  };
};

const nameOf = ({ hostId, kind }: Pick<Document, 'hostId' | 'kind'>): string => `${hostId} ${kind}`;
