import { expect, it } from 'vitest';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { createManualClock, settle } from '../../lib/manual-clock.ts';
import { createStatusSilence, statusSilenceMaxMs } from './status-silence.ts';

const never = new AbortController().signal;

/** What the watch ended with, or null while it goes on. */
const watched = (silence: ReturnType<typeof createStatusSilence>, signal = never): { readonly end: () => string | null } => {
  let end: string | null = null;
  silence.watch(signal).catch((error: unknown) => (end = errorCodeOf(error)));
  return { end: () => end };
};

it('ends after a silence, counted from the last status', async () => {
  const clock = createManualClock();
  const silence = createStatusSilence(clock);
  const { end } = watched(silence);
  for (let second = 0; second < 30; second += 1) {
    await clock.advance(1_000);
    silence.heard();
    await settle();
  }
  await clock.advance(statusSilenceMaxMs - 1);
  await settle();
  expect(end()).toBeNull();
  await clock.advance(1);
  await settle();
  expect(end()).toBe('TIMED_OUT');
});

it('gives hosts time to be heard when the console itself was held up, once', async () => {
  let nowMs = 0;
  const wakes: (() => void)[] = [];
  const silence = createStatusSilence({ monotonicMs: () => nowMs, sleep: () => new Promise((resolve) => wakes.push(resolve)) });
  const { end } = watched(silence);
  // Its timer was due after 11 s.
  nowMs = 40_000;
  wakes.shift()?.();
  await settle();
  expect([end(), wakes.length]).toEqual([null, 1]);
  nowMs = 45_000;
  wakes.shift()?.();
  await settle();
  expect(end()).toBe('TIMED_OUT');
});
