/** Which calls need a fresh second factor, and whether this one has it. */
import type { Metadata } from '@grpc/grpc-js';
import type { ApplyConfigRequest, RollbackConfigRequest } from '../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../proto/model/error.ts';
import { sessionMetadata } from '../../proto/model/step-up.ts';
import type { AccessCaller } from '../control/access/api.ts';
import type { RolloutControl } from '../control/rollout/api.ts';
import type { Session, SessionControl } from '../control/session/api.ts';
import type { Connection } from './connections.ts';

export interface StepUpCall {
  readonly connection: Connection;
  readonly path: string;
  readonly scope: string;
  /** By the option of the rpc. */
  readonly isDangerous: boolean;
  readonly metadata: Metadata;
}

export interface StepUpRule {
  /** Raises SESSION_INVALID for a token that is not this caller's, MFA_REQUIRED when the call alone says that it needs a code. */
  begin(caller: AccessCaller, call: StepUpCall): void;
  /** The same once the request is there, for calls whose content decides. Raises MFA_REQUIRED. */
  checkMessage(caller: AccessCaller, call: StepUpCall, message: unknown): void;
}

export interface StepUpRuleOptions {
  readonly sessions: Pick<SessionControl, 'session' | 'needsStepUp' | 'isDangerous'>;
  /** The revision that a host goes back to when the present one is taken away; 0 = none. */
  readonly revisionBefore: () => number;
  readonly rollouts: Pick<RolloutControl, 'covers'>;
}

/**
 * Getting safe again never needs a phone: confirming, taking back, delivering bundles and certificates. Plans of rollouts and intents carry
 * the proof of their own, which outlives a session.
 */
const neverAsked: ReadonlySet<string> = new Set([
  '/nest.v1.AccessService/PushAccessUpdates',
  '/nest.v1.CertService/GetSigningRequest',
  '/nest.v1.CertService/InstallCertificate',
  '/nest.v1.CertService/TakeRootChange',
  '/nest.v1.CertService/InstallRevocationLists',
  '/nest.v1.ConfigService/ConfirmConfig',
  '/nest.v1.IntentService/DeliverIntent',
  '/nest.v1.SessionService/EnrollFactor',
  '/nest.v1.SessionService/StepUp',
  '/nest.v1.SessionService/Authenticate',
]);

/** Requests that need no code although their rpc does, by path. */
const exemptions = ({ revisionBefore, rollouts }: StepUpRuleOptions): Readonly<Record<string, (message: unknown) => boolean>> => ({
  '/nest.v1.ConfigService/ApplyConfig': (message) => {
    const { rolloutId, policyJson } = message as ApplyConfigRequest;
    return rolloutId !== '' && rollouts.covers(rolloutId, policyJson);
  },
  '/nest.v1.ConfigService/RollbackConfig': (message) => {
    const to = Number((message as RollbackConfigRequest).toRevision);
    return to === 0 || to === revisionBefore();
  },
});

export const createStepUpRule = (options: StepUpRuleOptions): StepUpRule => {
  const { sessions } = options;
  const exempt = exemptions(options);
  const isWanted = (caller: AccessCaller, { path, scope, isDangerous }: StepUpCall): boolean =>
    !neverAsked.has(path) && (isDangerous || sessions.isDangerous(scope)) && sessions.needsStepUp(caller);
  const require = (session: Session | null): void => {
    if (session?.isFresh !== true) throw required();
  };
  return {
    begin: (caller, call) => {
      const session = sessionOf(sessions, caller, call);
      if (!(call.path in exempt) && isWanted(caller, call)) require(session);
    },
    checkMessage: (caller, call, message) => {
      const isExempt = exempt[call.path];
      if (isExempt === undefined || !isWanted(caller, call) || isExempt(message)) return;
      require(sessionOf(sessions, caller, call));
    },
  };
};

/** Null without a token. */
const sessionOf = (sessions: Pick<SessionControl, 'session'>, caller: AccessCaller, call: StepUpCall): Session | null => {
  const [token] = call.metadata.get(sessionMetadata);
  return typeof token === 'string' && token !== '' ? sessions.session(caller, call.connection.certificateHash, token) : null;
};

const required = (): NestError =>
  new NestError('MFA_REQUIRED', 'This needs your second factor, checked within the last five minutes. Enter a code of your authenticator.');
