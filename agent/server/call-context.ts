import type { Metadata } from '@grpc/grpc-js';
import { NestError } from '../../proto/model/error.ts';
import type { Caller } from '../control/identity/api.ts';
import type { Connection, Endpoints } from './connections.ts';

/** What the guard has established about a call before its handler runs. */
export interface CallContext {
  readonly path: string;
  readonly connection: Connection;
  readonly endpoints: Endpoints;
  /** Milliseconds this call may take at most; 0 = no limit. */
  readonly deadlineMsMax: number;
  /** Whether the caller holds the scope of this call for a mapping; "" = for the host as a whole. */
  readonly isHeldFor: (mapping: string) => boolean;
  /** Aborts with the coded reason when the caller loses the right to this call while it runs. */
  readonly revoked: AbortSignal;
}

/** Contexts travel with the request metadata object, which the library passes from interceptor to handler unchanged. */
export interface CallContexts {
  put(metadata: Metadata, context: CallContext): void;
  /** Throws INTERNAL when the guard has not run: such a call is never served. */
  get(metadata: Metadata): CallContext;
}

/** An empty registry; entries die with their call. */
export const createCallContexts = (): CallContexts => {
  const contexts = new WeakMap<Metadata, CallContext>();
  return {
    put: (metadata, context) => void contexts.set(metadata, context),
    get: (metadata) => {
      const context = contexts.get(metadata);
      if (context === undefined) throw new NestError('INTERNAL', 'The call was not checked and is refused. Report this as a defect.');
      return context;
    },
  };
};

/** The operator or client behind a call. Throws NOT_ENROLLED when the connection is from before the enrolment. */
export const callerOf = (context: CallContext): Caller => {
  const { caller } = context.connection;
  if (caller === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
  return caller;
};
