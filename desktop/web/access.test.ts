import { describe, expect, it } from 'vitest';
import { Access, accessLimits } from './access.ts';

const begin = () => {
  let now = 0;
  let seed = 0;
  const access = new Access({ now: () => now, randomBytes: (count) => new Uint8Array(count).fill((seed += 1)) });
  /** A browser that follows a fresh link. */
  const enter = (): string => access.redeem(access.issueToken()) ?? 'refused';
  return {
    access,
    enter,
    pass: (ms: number) => {
      now += ms;
    },
  };
};

describe('access to the web host', () => {
  it('gives each token one session, with a secret that is not the token', () => {
    const { access } = begin();
    const token = access.issueToken();
    const secret = access.redeem(token);
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(secret).not.toBe(token);
    expect([access.redeem(token), access.find(token), access.find(undefined), access.find('')]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(access.find(secret)).toMatchObject({ connections: 0 });
  });

  it('keeps only the newest unused tokens', () => {
    const { access } = begin();
    const tokens = Array.from({ length: accessLimits.tokensMax + 1 }, () => access.issueToken());
    expect(tokens.map((token) => access.redeem(token) !== undefined)).toEqual([
      false,
      ...Array.from({ length: accessLimits.tokensMax }, () => true),
    ]);
  });

  it('ends a session that was not used for twelve hours, and never one with a connection', () => {
    const { access, enter, pass } = begin();
    const [idle, used, connected] = [enter(), enter(), enter()];
    const session = access.find(connected);
    if (session !== undefined) session.connections = 1;
    pass(accessLimits.sessionIdleMs);
    expect(access.find(used)).toBeDefined();
    pass(1);
    expect([access.find(idle) === undefined, access.find(used) === undefined, access.find(connected) === undefined]).toEqual([
      true,
      false,
      false,
    ]);
    expect(access.sessionCount).toBe(2);
  });

  it('lets the session idle the longest give way to a ninth, a connected one last of all', () => {
    const { access, enter, pass } = begin();
    const secrets = Array.from({ length: accessLimits.sessionsMax }, () => {
      pass(1);
      return enter();
    });
    const first = access.find(secrets[0]);
    if (first !== undefined) Object.assign(first, { connections: 1, usedAt: 0 });
    const ninth = enter();
    expect(access.sessionCount).toBe(accessLimits.sessionsMax);
    expect([secrets[0], secrets[1], secrets[2], ninth].map((secret) => access.find(secret) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});
