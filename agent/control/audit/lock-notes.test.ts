import { describe, expect, it } from 'vitest';
import type { AuditFact } from './api.ts';
import { lockNotesMax, noteLocks } from './lock-notes.ts';

const author = 'spiffe://01jz000000000000000000000a/operator/ada';
const device = `device/${'ab'.repeat(32)}`;

const openBook = () => {
  let locks: readonly { readonly target: string; readonly reason: string }[] = [];
  let revision = 1;
  let listener = (): void => undefined;
  const facts: AuditFact[] = [];
  const access = {
    head: () => ({ epoch: 1, revision, hash: '', issuedAtMs: 0, notAfterMs: 0, author, isStale: false }),
    locks: () => locks,
    onChanged: (follow: () => void) => {
      listener = follow;
      return () => (listener = () => undefined);
    },
  };
  const stop = noteLocks({ note: (fact) => void facts.push(fact) }, access);
  return {
    facts,
    stop,
    set: (next: typeof locks, at = revision + 1) => {
      [locks, revision] = [next, at];
      listener();
    },
  };
};

describe('locks of the access bundle', () => {
  it('leave an entry each when they are set and when they are lifted, with who signed and why', () => {
    const book = openBook();
    book.set([
      { target: device, reason: 'laptop lost' },
      { target: 'operator/bob', reason: 'left' },
    ]);
    book.set([{ target: 'operator/bob', reason: 'left' }]);
    book.set([{ target: 'operator/bob', reason: 'left' }]);
    expect(book.facts.map(({ actor, action, target, detail }) => [actor, action, target, detail])).toEqual([
      [author, 'access.locked', device, 'laptop lost'],
      [author, 'access.locked', 'operator/bob', 'left'],
      [author, 'access.unlocked', device, 'laptop lost'],
    ]);
    book.stop();
    book.set([]);
    expect(book.facts).toHaveLength(3);
  });

  it('say nothing when the host leaves its fleet, and count what is beyond the limit', () => {
    const book = openBook();
    book.set(Array.from({ length: lockNotesMax + 7 }, (_, index) => ({ target: `operator/p${String(index)}`, reason: '' })));
    expect(book.facts).toHaveLength(lockNotesMax + 1);
    expect(book.facts.at(-1)).toMatchObject({ action: 'access.locks', count: 7 });
    book.set([], 0);
    expect(book.facts).toHaveLength(lockNotesMax + 1);
  });
});
