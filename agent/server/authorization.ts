import type { Metadata } from '@grpc/grpc-js';
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ListFlowsRequest, SummarizeFlowsRequest, WatchFlowsRequest } from '../../proto/gen/nest/v1/flow.ts';
import { clientKeyPrefix } from '../../proto/model/access/client-key.ts';
import type { Refusal } from '../../proto/model/access/decide.ts';
import { NestError } from '../../proto/model/error.ts';
import type { AccessCaller, AccessControl } from '../control/access/api.ts';
import type { BreakGlassUse, SessionControl } from '../control/session/api.ts';
import type { Clock } from '../lib/clock.ts';
import type { Connection, Connections } from './connections.ts';
import { createCutting } from './cutting.ts';
import { createStepUpRule } from './step-up-rule.ts';
import type { StepUpRule, StepUpRuleOptions } from './step-up-rule.ts';

/** Wrong keys of one client before it has to wait, and how long, milliseconds. */
const wrongKeysMax = 5;
const wrongKeysMs = 15 * 60_000;
/** Clients whose wrong keys are remembered; beyond that the oldest is forgotten. */
const wrongKeyClientsMax = 1000;

export interface AuthorizationRequest {
  readonly connection: Connection;
  readonly path: string;
  readonly scope: string;
  /** By the option of the rpc. */
  readonly isDangerous: boolean;
  readonly metadata: Metadata;
}

/** A call that was allowed, watched until it ends. */
export interface LiveCall {
  readonly revoked: AbortSignal;
  /** Whether the scope is held for a mapping; "" = for the host as a whole. */
  readonly isHeldFor: (mapping: string) => boolean;
  /** The grant that allows it; null for what roles allow. */
  readonly grant: BreakGlassUse | null;
  /** Looks into requests whose content decides. Throws SCOPE_MISSING, MFA_REQUIRED. */
  checkMessage(message: unknown): void;
  end(): void;
}

/** May this caller make this call, and may it still. */
export interface Authorization {
  /** Throws SCOPE_MISSING, REVOKED, ACCESS_STALE, SESSION_INVALID, MFA_REQUIRED, LIMIT_REACHED. */
  authorize(request: AuthorizationRequest): LiveCall;
  /** Throws REVOKED for a new connection of who is locked. */
  admit(connection: Connection): void;
  close(): void;
}

export interface AuthorizationOptions {
  readonly access: AccessControl;
  readonly connections: Connections;
  readonly sessions: SessionControl;
  readonly rollouts: StepUpRuleOptions['rollouts'];
  readonly revisionBefore: StepUpRuleOptions['revisionBefore'];
  readonly clock: Clock;
}

interface Running extends AuthorizationRequest {
  readonly abort: AbortController;
  /** Null while the request that names it is still to come. */
  mapping: string | null;
}

/** Follows the access bundle: what it takes away ends at once, running calls included. */
export const createAuthorization = (options: AuthorizationOptions): Authorization => {
  const { access, connections, sessions, clock } = options;
  const stepUp = createStepUpRule(options);
  const running = new Set<Running>();
  const cutting = createCutting(clock, (connection) => [...running].some((call) => call.connection === connection));
  const checkKey = createKeyCheck(access, clock);
  const check = ({ connection, scope, path, mapping }: Running): void => {
    const caller = accessCallerOf(connection);
    if (caller !== null && sessions.grantOf(caller) !== null) return;
    const refusal = caller === null ? 'SCOPE_MISSING' : access.decide(caller, scope, mapping ?? '');
    const isPartly = mapping === null && (path in mappingOf || judgedByHandler.has(path));
    if (refusal === 'SCOPE_MISSING' && isPartly && caller !== null && access.needsMapping(caller, scope)) return;
    if (refusal !== null) throw refusalOf(refusal, scope);
  };
  const recheck = (): void => {
    for (const call of running) {
      try {
        check(call);
      } catch (error) {
        call.abort.abort(error);
      }
    }
    const cut = connections.filter((connection) => {
      const caller = accessCallerOf(connection);
      return caller !== null && access.isCut(caller) && sessions.grantOf(caller) === null;
    });
    cut.forEach((connection) => cutting.cut(connection));
  };
  const stops = [access.onChanged(recheck), sessions.onChanged(recheck)];
  return {
    authorize: (request) => {
      const call: Running = { ...request, abort: new AbortController(), mapping: null };
      const caller = accessCallerOf(request.connection);
      const isHeldFor = (mapping: string): boolean =>
        caller !== null && (sessions.grantOf(caller) !== null || access.decide(caller, request.scope, mapping) === null);
      const end = (): void => {
        if (running.delete(call)) cutting.told(call.connection);
      };
      if (request.scope === 'public')
        return liveCallOf(call, { check: () => undefined, isHeldFor, end, stepUp, caller: null, grant: null });
      check(call);
      checkKey(request);
      if (caller !== null) stepUp.begin(caller, request);
      running.add(call);
      return liveCallOf(call, { check, isHeldFor, end, stepUp, caller, grant: caller === null ? null : sessions.grantOf(caller) });
    },
    admit: (connection) => {
      const caller = accessCallerOf(connection);
      if (caller !== null && access.isLocked(caller)) throw refusalOf('REVOKED', '');
    },
    close: () => stops.forEach((stop) => stop()),
  };
};

interface LiveParts {
  readonly check: (call: Running) => void;
  readonly isHeldFor: LiveCall['isHeldFor'];
  readonly end: LiveCall['end'];
  readonly stepUp: StepUpRule;
  /** Null where nothing has to be proven. */
  readonly caller: AccessCaller | null;
  readonly grant: BreakGlassUse | null;
}

const liveCallOf = (call: Running, { check, isHeldFor, end, stepUp, caller, grant }: LiveParts): LiveCall => ({
  revoked: call.abort.signal,
  isHeldFor,
  grant,
  checkMessage: (message) => {
    if (call.mapping !== null) return;
    if (!judgedByHandler.has(call.path)) {
      call.mapping = mappingOf[call.path]?.(message) ?? '';
      check(call);
    }
    if (caller !== null) stepUp.checkMessage(caller, call, message);
  },
  end,
});

/** The requests that name a mapping, by path: they are allowed to who holds the scope for that mapping alone. */
const mappingOf: Readonly<Record<string, (message: unknown) => string>> = {
  '/nest.v1.FlowService/ListFlows': (message) => (message as ListFlowsRequest).filter?.mapping ?? '',
  '/nest.v1.FlowService/SummarizeFlows': (message) => (message as SummarizeFlowsRequest).filter?.mapping ?? '',
  '/nest.v1.FlowService/WatchFlows': (message) => (message as WatchFlowsRequest).filter?.mapping ?? '',
};

/** Calls whose handler finds out which mappings they reach: it asks the call whether the scope is held for each. */
const judgedByHandler: ReadonlySet<string> = new Set([
  '/nest.v1.ConfigService/ApplyConfig',
  '/nest.v1.ConfigService/ApproveMapping',
  '/nest.v1.ConfigService/ConfirmConfig',
  '/nest.v1.ConfigService/RollbackConfig',
]);

/** Who calls, as access bundles know it; null before the enrolment. */
export const accessCallerOf = ({ caller, spkiHash }: Connection): AccessCaller | null =>
  caller === null ? null : { subject: caller.subject, kind: caller.kind, device: spkiHash.toString('hex') };

const refusalOf = (refusal: Refusal, scope: string): NestError => {
  const details = { details: { scope } };
  if (refusal === 'REVOKED') return new NestError('REVOKED', 'You or this device are locked out of the fleet. Ask an owner of the fleet.');
  if (refusal === 'ACCESS_STALE')
    return new NestError(
      'ACCESS_STALE',
      `The access bundle of this host is too old: ${scope} waits, reading goes on. Open a console of an owner, it delivers a newer one.`,
      details,
    );
  return new NestError('SCOPE_MISSING', `You may not do this: the scope ${scope} is missing. Ask an owner of the fleet.`, details);
};

/** Clients that have keys must show one, beside their certificate. */
const createKeyCheck = (access: AccessControl, clock: Clock): ((request: AuthorizationRequest) => void) => {
  const wrong = new Map<string, { count: number; readonly sinceMs: number }>();
  return ({ connection, metadata }) => {
    const caller = accessCallerOf(connection);
    if (caller?.kind !== 'client') return;
    const keys = access.clientKeys(caller);
    if (keys === null) return;
    const nowMs = clock.monotonicMs();
    const failed = wrong.get(caller.subject);
    if (failed !== undefined && nowMs - failed.sinceMs > wrongKeysMs) wrong.delete(caller.subject);
    else if (failed !== undefined && failed.count >= wrongKeysMax)
      throw new NestError('LIMIT_REACHED', 'Too many wrong API keys. Wait a quarter of an hour, then try the right one.');
    if (keys.some(({ hash }) => timingSafeEqual(hash, hashOfKey(metadata)))) return;
    const [oldest] = wrong.keys();
    if (wrong.size >= wrongKeyClientsMax && oldest !== undefined) wrong.delete(oldest);
    wrong.set(caller.subject, { count: (wrong.get(caller.subject)?.count ?? 0) + 1, sinceMs: nowMs });
    throw new NestError(
      'SESSION_INVALID',
      'The API key of this client is missing or wrong. Send the newest one as "authorization: Bearer <key>".',
    );
  };
};

const hashOfKey = (metadata: Metadata): Buffer => {
  const [text] = metadata.get('authorization');
  const key = typeof text === 'string' ? text.replace(/^Bearer /i, '') : '';
  return createHash('sha256')
    .update(key.startsWith(clientKeyPrefix) ? key : '')
    .digest();
};
