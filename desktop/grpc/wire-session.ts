/** The session of one connection: what was proven with a second factor, shown to the agent when it asks for it. */
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import type { AuthenticateRequest, AuthenticateResponse } from '../../proto/gen/nest/v1/session.ts';
import type { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import type { CallOptions, Method, WireSession } from './call.ts';

/** Statements of witnesses, good for every agent. Plain data. */
export interface StepUpEvidence {
  readonly statements: readonly SignedEnvelope[];
  /** Console clock, milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

export interface WireSessionOptions {
  readonly evidence: () => StepUpEvidence | null;
  /** Console clock, milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly ask: (
    method: Method<AuthenticateRequest, AuthenticateResponse>,
    options: CallOptions & { readonly request: AuthenticateRequest },
  ) => Promise<AuthenticateResponse>;
}

/** Asks once for each piece of evidence, however many calls wait for it. */
export const createWireSession = ({ evidence, now, ask }: WireSessionOptions): WireSession => {
  let token = '';
  let shown: StepUpEvidence | null = null;
  let asking: Promise<void> | null = null;
  return {
    get token() {
      return token;
    },
    renew: async (signal) => {
      const next = evidence();
      if (asking !== null) {
        await asking;
        return token !== '';
      }
      if (next === null || next === shown || next.expiresAt <= now()) {
        token = '';
        return false;
      }
      shown = next;
      const request = { statements: [...next.statements], grant: undefined, timeMs: BigInt(Math.round(now())) };
      asking = ask(SessionServiceService.authenticate, { request, signal })
        .then((answer) => {
          ({ token } = answer);
        })
        .catch((error: unknown) => {
          shown = null;
          throw error;
        })
        .finally(() => {
          asking = null;
        });
      await asking;
      return true;
    },
    forget: () => {
      token = '';
      shown = null;
    },
  };
};
