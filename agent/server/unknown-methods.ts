import type { Server, ServiceDefinition } from '@grpc/grpc-js';
import { NestError } from '../../proto/model/error.ts';
import { toGrpcStatus } from './grpc-status.ts';

/** What logs, figures and audit entries call them: the path is the caller's own text. */
export const unknownMethod = 'unknown method';

/** Paths that are answered by a handler. */
export const servedPaths = (services: readonly { readonly definition: ServiceDefinition }[]): ReadonlySet<string> =>
  new Set(services.flatMap(({ definition }) => Object.values(definition).map(({ path }) => path)));

/** The refusal of a method that this agent does not have. */
export const methodUnknown = (): NestError =>
  new NestError('METHOD_UNKNOWN', 'The agent does not know this call. Upgrade the agent or the console, so that both are of one version.');

/**
 * Leads calls of methods nobody serves through the interceptors like every other, so that they are checked, audited and refused with a
 * code. The library (grpc-js 1.14) answers them before any interceptor and has no handler for the rest: the map it looks them up in is
 * private, and if that is gone it answers by itself again; a test holds this.
 */
export const catchUnknownMethods = (server: Server): void => {
  const handlers: unknown = Reflect.get(server, 'handlers');
  if (!(handlers instanceof Map)) return;
  const known = handlers.get.bind(handlers) as (path: string) => unknown;
  handlers.get = (path: string) => known(path) ?? unknownHandler(path);
};

const unknownHandler = (path: string): Readonly<Record<string, unknown>> => ({
  path,
  type: 'unary',
  func: (_call: unknown, respond: (error: unknown) => void) => respond(toGrpcStatus(methodUnknown())),
  serialize: (bytes: Buffer) => bytes,
  deserialize: (bytes: Buffer) => bytes,
});
