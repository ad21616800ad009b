/** One agent without a data path: the real identity, revisions and server over simulated domains, on a loopback address of its own. */
import { openIdentityStore } from '../../agent/control/identity/identity-store.ts';
import { checkChain } from '../../agent/control/identity/certificate-chain.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { createSigningRequest } from '../../agent/control/identity/bootstrap-certificate.ts';
import { createRevisionControl } from '../../agent/control/revisions/revisions.ts';
import { agentVersion } from '../../agent/config/version.ts';
import { makePrivateDirectory } from '../../agent/lib/atomic-file.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import type { AgentServer } from '../../agent/server/api.ts';
import { rootSpkiHash, signAgent } from '../../desktop/core/authority/fleet-authority.ts';
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import { systemRandom as consoleRandom } from '../../desktop/lib/api.ts';
import { createSimulatedHost } from './simulated-host.ts';
import { createSimulatedTraffic } from './simulated-traffic.ts';

export interface SimulatedAgentOptions {
  readonly index: number;
  readonly agentId: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly stateDir: string;
  readonly readingMs: number;
  /** Flows a second for each watcher; 0 = as fast as it reads. */
  readonly flowsPerSecond: number;
}

/** What the console's inventory has to know of it. */
export interface SignedIdentity {
  readonly agentId: string;
  readonly spkiSha256: string;
  readonly certificateEndsAt: number;
}

/** Makes key and certificate as an enrolment would, without its handshake. An identity that is there already is kept. */
export const signSimulatedAgent = async (keys: FleetKeys, options: SimulatedAgentOptions): Promise<SignedIdentity> => {
  await makePrivateDirectory(options.stateDir);
  const store = await openIdentityStore(options.stateDir);
  if (store.identity !== null)
    return { agentId: store.identity.agentId, spkiSha256: store.key.fingerprint, certificateEndsAt: store.identity.endsAtMs };
  const nowMs = systemClock.nowMs();
  const signed = await signAgent(
    keys,
    {
      agentId: options.agentId,
      hostName: options.name,
      signingRequest: await createSigningRequest(store.key),
      spkiSha256: store.key.fingerprint,
    },
    { now: nowMs, random: consoleRandom },
  );
  const chain = checkChain(
    { certificateChain: signed.chain, fleetRoot: signed.fleetRoot, fleetId: keys.fleetId },
    { rootSpkiHash: rootSpkiHash(keys), agentSpkiHash: store.key.spkiHash, nowMs },
  );
  const stored = await store.saveIdentity(chain, nowMs);
  return { agentId: stored.agentId, spkiSha256: store.key.fingerprint, certificateEndsAt: stored.endsAtMs };
};

/** Starts a signed agent. Raises STATE_FAILED when its address is taken. */
export const startSimulatedAgent = async (options: SimulatedAgentOptions): Promise<AsyncDisposable & { readonly server: AgentServer }> => {
  await using opened = new AsyncDisposableStack();
  const clock = systemClock;
  const identity = await createIdentityControl({ stateDir: options.stateDir, clock, random: systemRandom });
  opened.defer(() => identity.close());
  const host = createSimulatedHost({ ...options, clock });
  opened.defer(() => host.close());
  const traffic = createSimulatedTraffic({ clock, index: options.index, flows: { perSecond: options.flowsPerSecond } });
  const raise: typeof host.raise = (code, warning) => host.raise(code, warning);
  const revisions = createRevisionControl({ stateDir: options.stateDir, activation: traffic, clock, log: silentLogger, raise });
  opened.defer(() => revisions.close());
  const life = new AbortController();
  opened.defer(() => life.abort());
  await revisions.start(life.signal);
  host.start(life.signal);
  const server = await createServer({
    listen: { address: options.address, port: options.port },
    metrics: { address: options.address, port: 0 },
    agentVersion,
    identity,
    revisions,
    traffic,
    host,
    clock,
    logger: silentLogger,
  });
  opened.defer(() => server.close());
  const owned = opened.move();
  return { server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
};
