/** The session of one connection: what was proven with a second factor, shown to the agent when it asks for it. */
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import type { AuthenticateRequest, AuthenticateResponse } from '../../proto/gen/nest/v1/session.ts';
import type { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { errorCodeOf } from '../../proto/model/error.ts';
import type { NestErrorCode } from '../../proto/model/error.ts';
import type { CallOptions, Method } from './call.ts';
import type { Wire } from './wire.ts';

/** What was proven with a second factor on this connection. */
export interface WireSession {
  /** Empty without one. */
  readonly token: string;
  /** Gets a token for what the console can show; false when there is nothing the agent has not seen. Raises what the agent says. */
  renew(signal: AbortSignal): Promise<boolean>;
  /** The agent does not take the token any more: what was shown may be shown again. */
  forget(): void;
}

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

/** The agent wants a second factor, or does not know our token any more. */
const renewCodes: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>(['MFA_REQUIRED', 'SESSION_INVALID']);

/** `wire` carries the token of `session`; a call goes out once again when the agent wanted a second factor that can be shown. */
export const createSessionWire = (wire: Wire, session: WireSession): Wire => ({
  stream: (path, request, sink) => wire.stream(path, request, sink),
  unary: async (path, request, call) => {
    try {
      return await wire.unary(path, request, call);
    } catch (error) {
      const code = errorCodeOf(error);
      if (!renewCodes.has(code)) throw error;
      const isOver = code === 'SESSION_INVALID' && session.token !== '';
      if (isOver) session.forget();
      if (!(await session.renew(call.signal)) && !isOver) throw error;
      return wire.unary(path, request, call);
    }
  },
});
