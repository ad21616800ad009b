import type { IdentityControl } from '../control/identity/api.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { createAcceptor } from './acceptor.ts';
import type { Acceptor, AcceptorOptions, Service } from './acceptor.ts';
import { listen } from './listener.ts';
import type { Listener } from './listener.ts';

/** Running calls get this long when TLS is exchanged or the agent stops, milliseconds. */
const graceMs = 3000;

export type FrontMode = 'closed' | 'enrolling' | 'enrolled';

export interface GrpcFrontOptions extends Pick<
  AcceptorOptions,
  'contexts' | 'access' | 'sessions' | 'rollouts' | 'revisionBefore' | 'audit' | 'onFinished' | 'onAuthentication' | 'isRevoked'
> {
  readonly address: string;
  readonly port: number;
  readonly identity: IdentityControl;
  /** All that an agent without a fleet serves. */
  readonly enrollmentServices: readonly Service[];
  readonly services: readonly Service[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** A change that failed, or null once it works again. */
  readonly onProblem: (error: Error | null) => void;
}

export interface GrpcFront {
  readonly mode: FrontMode;
  /** The bound port; null while closed. */
  readonly port: number | null;
  /** Resolves when every change seen so far is in effect. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Keeps the network side in step with the identity: closed without a fleet or an enrolment, open for an enrolment
 * alone, then for the fleet. Changes are made one after the other.
 */
export const createGrpcFront = async (options: GrpcFrontOptions): Promise<GrpcFront> => {
  let mode: FrontMode = 'closed';
  let listener: Listener | null = null;
  let acceptor: Acceptor | null = null;
  const closing = new Set<Promise<void>>();
  let stopped = false;

  const retire = (old: Acceptor | null): void => {
    if (old === null) return;
    const work: Promise<void> = old.close(graceMs).finally(() => closing.delete(work));
    closing.add(work);
  };
  const shut = async (): Promise<void> => {
    mode = 'closed';
    const [oldListener, oldAcceptor] = [listener, acceptor];
    listener = null;
    acceptor = null;
    retire(oldAcceptor);
    await oldListener?.close();
  };
  const follow = async (): Promise<void> => {
    const wanted: FrontMode = stopped ? 'closed' : wantedMode(options.identity);
    if (wanted === 'closed') return shut();
    const material = await options.identity.tls();
    // The same mode: connections go on, new ones see new certificates.
    if (wanted === mode && acceptor !== null) return acceptor.renew(material);
    const next = createAcceptor({
      ...options,
      material,
      enrolled: wanted === 'enrolled',
      services: wanted === 'enrolled' ? options.services : options.enrollmentServices,
    });
    const old = acceptor;
    if (listener === null) listener = await listen(options, next);
    else listener.direct(next);
    acceptor = next;
    mode = wanted;
    retire(old);
    options.logger.info('grpc is listening', { mode, address: options.address, port: listener.port });
  };

  let chain = follow();
  await chain;
  const stopFollowing = options.identity.onChanged(() => {
    chain = chain.then(follow).then(
      () => options.onProblem(null),
      (error: unknown) => options.onProblem(error instanceof Error ? error : new Error(String(error))),
    );
  });
  return {
    get mode() {
      return mode;
    },
    get port() {
      return listener?.port ?? null;
    },
    settled: () => chain,
    close: async () => {
      stopped = true;
      stopFollowing();
      chain = chain.then(shut);
      await chain;
      await Promise.all(closing);
    },
  };
};

const wantedMode = (identity: IdentityControl): FrontMode => {
  if (identity.identity() !== null) return 'enrolled';
  return identity.enrollment() === null ? 'closed' : 'enrolling';
};
