/** One maintained connection to one agent, as the console's core sees it: a state to follow, a client while it is up. */
import { NestError } from '../../proto/model/error.ts';
import { createLatest, throwIfCancelled } from '../lib/api.ts';
import type { Clock, Latest } from '../lib/api.ts';
import { createAgentClient } from './agent-client.ts';
import type { AgentClient } from './agent-client.ts';
import { maintainConnection } from './connection.ts';
import type { ConnectionOptions, Greeting, Outage } from './connection.ts';

export type LinkState =
  | { readonly kind: 'connecting' }
  | ({ readonly kind: 'up'; readonly client: AgentClient } & Greeting)
  | ({ readonly kind: 'down' } & Outage);

export interface AgentLink {
  readonly state: LinkState;
  follow(signal: AbortSignal): AsyncIterable<LinkState>;
  /** Connects, runs `work` while the connection lives and starts over until the signal aborts. `work` ends by failing. */
  maintain(work: (client: AgentClient, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /**
   * The client, waiting at most `waitMs` for a first or renewed connection. Raises why there is none:
   * HOST_UNREACHABLE, CERTIFICATE_INVALID, IDENTITY_MISMATCH, TIMED_OUT.
   */
  client(waitMs: number, signal: AbortSignal): Promise<AgentClient>;
}

/** A link that does nothing until `maintain` runs; its connection is made in this thread. */
export const createAgentLink = (options: ConnectionOptions): AgentLink => {
  const state = createLatest<LinkState>({ kind: 'connecting' });
  return linkOver(state, options.clock, (work, signal) => maintainHere(options, { state, work }, signal));
};

/** Keeps a connection in this thread and tells `state` of it. */
export const maintainHere = (
  options: ConnectionOptions,
  { state, work }: { readonly state: Latest<LinkState>; readonly work: Parameters<AgentLink['maintain']>[0] },
  signal: AbortSignal,
): Promise<void> =>
  maintainConnection(
    options,
    {
      work: ({ calls, bulk }, greeting, connected) => {
        const client = createAgentClient(calls, bulk);
        state.set({ kind: 'up', client, ...greeting });
        return work(client, connected);
      },
      broke: (outage) => state.set({ kind: 'down', ...outage }),
    },
    signal,
  );

/** The face of a link whose state somebody else keeps. */
export const linkOver = (state: Latest<LinkState>, clock: Clock, maintain: AgentLink['maintain']): AgentLink => ({
  get state() {
    return state.value;
  },
  follow: (signal) => state.follow(signal),
  maintain,
  client: async (waitMs, signal) => {
    throwIfCancelled(signal);
    if (state.value.kind === 'up') return state.value.client;
    const giveUp = new AbortController();
    const timer = clock.sleep(waitMs, AbortSignal.any([signal, giveUp.signal])).then(
      () => giveUp.abort(),
      () => undefined,
    );
    try {
      for await (const current of state.follow(AbortSignal.any([signal, giveUp.signal]))) {
        if (current.kind === 'up') return current.client;
      }
    } finally {
      giveUp.abort();
      await timer;
    }
    throwIfCancelled(signal);
    throw state.value.kind === 'down'
      ? state.value.error
      : new NestError('HOST_UNREACHABLE', 'The host has not answered yet. Check that it is up and that its agent runs.');
  },
});
