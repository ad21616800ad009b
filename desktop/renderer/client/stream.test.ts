import { describe, expect, it } from 'vitest';
import type { BridgeClient } from '../../bridge/contract.ts';
import { followStream } from './stream.ts';

/** A bridge whose streams give the states of one list after another; a code ends a list with that failure. */
const scripted = (...lists: readonly (readonly (string | { readonly code: string })[])[]): BridgeClient => {
  let turn = 0;
  return {
    call: () => Promise.reject(new Error('not used')),
    subscribe: async function* () {
      for (const entry of lists[turn++] ?? []) {
        if (typeof entry !== 'string') throw Object.assign(new Error('broken'), entry);
        yield { fleetName: entry } as never;
      }
    },
  };
};

const follow = async (
  client: BridgeClient,
  rounds: number,
): Promise<{ readonly seen: readonly string[]; readonly pauses: readonly number[] }> => {
  const abort = new AbortController();
  const seen: string[] = [];
  const pauses: number[] = [];
  const pause = (delayMs: number): Promise<void> => {
    pauses.push(delayMs);
    if (pauses.length >= rounds) abort.abort();
    return Promise.resolve();
  };
  await followStream(
    { client, method: 'console.watch', input: {}, pause },
    { onValue: ({ fleetName }) => seen.push(fleetName ?? ''), onFailure: ({ code }) => seen.push(code) },
    abort.signal,
  );
  return { seen, pauses };
};

describe('following a stream', () => {
  it('opens it again after a failure and after its end, and says why it broke', async () => {
    const { seen } = await follow(scripted(['a', { code: 'UNAVAILABLE' }], ['b'], ['c']), 3);
    expect(seen).toEqual(['a', 'UNAVAILABLE', 'b', 'c']);
  });

  it('waits longer after each failure, at most five seconds, and starts over after a value', async () => {
    const fails = Array.from({ length: 6 }, () => [{ code: 'UNAVAILABLE' }]);
    expect((await follow(scripted(...fails, ['x']), 8)).pauses).toEqual([500, 1_000, 2_000, 4_000, 5_000, 5_000, 500, 1_000]);
  });

  it('does not open a stream whose signal is already aborted', async () => {
    const seen: string[] = [];
    await followStream(
      { client: scripted(['a']), method: 'console.watch', input: {} },
      { onValue: () => seen.push('value'), onFailure: () => seen.push('failure') },
      AbortSignal.abort(),
    );
    expect(seen).toEqual([]);
  });
});
