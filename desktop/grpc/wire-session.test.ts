import { describe, expect, it } from 'vitest';
import { NestError } from '../../proto/model/error.ts';
import { createWireSession } from './wire-session.ts';
import type { StepUpEvidence, WireSession } from './wire-session.ts';

const never = new AbortController().signal;

/** A session whose agent gives tokens t1, t2 ... after `answer` lets it. */
const open = (answer: () => Promise<void> = () => Promise.resolve()) => {
  const world = { evidence: null as StepUpEvidence | null, now: 1_000, asked: 0 };
  const session: WireSession = createWireSession({
    evidence: () => world.evidence,
    now: () => world.now,
    ask: async () => {
      world.asked += 1;
      await answer();
      return { token: `t${String(world.asked)}`, lifeMs: 900_000, freshMs: 300_000 };
    },
  });
  return { world, session };
};
const evidenceUntil = (expiresAt: number): StepUpEvidence => ({ statements: [], expiresAt });

describe('the session of a connection', () => {
  it('asks once for each piece of evidence, however many calls wait', async () => {
    const { world, session } = open();
    expect([await session.renew(never), world.asked]).toEqual([false, 0]);
    world.evidence = evidenceUntil(2_000);
    expect(await Promise.all([session.renew(never), session.renew(never), session.renew(never)])).toEqual([true, true, true]);
    expect([session.token, world.asked]).toEqual(['t1', 1]);
    // The agent wants a fresher one, and there is none.
    expect([await session.renew(never), session.token]).toEqual([false, '']);
    world.evidence = evidenceUntil(3_000);
    expect([await session.renew(never), session.token]).toEqual([true, 't2']);
  });

  it('shows the same again when the agent forgot its token, and nothing that is over', async () => {
    const { world, session } = open();
    world.evidence = evidenceUntil(2_000);
    await session.renew(never);
    session.forget();
    expect([session.token, await session.renew(never), session.token]).toEqual(['', true, 't2']);
    session.forget();
    world.now = 2_000;
    expect([await session.renew(never), world.asked]).toEqual([false, 2]);
  });

  it('says why the agent refused, and may try again', async () => {
    let isRefusing = true;
    const { world, session } = open(() =>
      isRefusing ? Promise.reject(new NestError('CLOCK_SKEWED', 'The clocks differ.')) : Promise.resolve(),
    );
    world.evidence = evidenceUntil(2_000);
    await expect(session.renew(never)).rejects.toMatchObject({ code: 'CLOCK_SKEWED' });
    isRefusing = false;
    expect([await session.renew(never), session.token]).toEqual([true, 't2']);
  });
});
