/** One agent without a data path: the real identity, revisions and server over simulated domains, on a loopback address of its own. */
import { X509Certificate } from 'node:crypto';
import { createAccessControl } from '../../agent/control/access/access-control.ts';
import { createAuditControl } from '../../agent/control/audit/audit-control.ts';
import { createHeadSigner } from '../../agent/control/audit/head-signer.ts';
import { noteLocks } from '../../agent/control/audit/lock-notes.ts';
import { auditConnection, noteMappingEnds } from '../../agent/control/audit/local-effects.ts';
import { generateAgentKey } from '../../agent/control/identity/agent-key.ts';
import { openIdentityStore } from '../../agent/control/identity/identity-store.ts';
import { checkChain } from '../../agent/control/identity/certificate-chain.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { createSigningRequest } from '../../agent/control/identity/bootstrap-certificate.ts';
import { createIntentControl } from '../../agent/control/intent/intent-control.ts';
import { createRevisionControl } from '../../agent/control/revisions/revisions.ts';
import { createRolloutControl } from '../../agent/control/rollout/rollout-control.ts';
import { createSessionControl } from '../../agent/control/session/session-control.ts';
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
import { createLeafTemplate } from './leaf-template.ts';
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

/** Makes identities as enrolments would, without their handshakes. The first is checked as an agent checks it; the others are of its kind. */
export const createAgentSigner = async (
  keys: FleetKeys,
  first: SimulatedAgentOptions,
): Promise<(options: SimulatedAgentOptions) => Promise<SignedIdentity>> => {
  const nowMs = systemClock.nowMs();
  const key = generateAgentKey();
  const { agentId, name: hostName } = first;
  const request = { agentId, hostName, signingRequest: await createSigningRequest(key), spkiSha256: key.fingerprint };
  const signed = await signAgent(keys, request, { now: nowMs, random: consoleRandom });
  const chain = checkChain(
    { certificateChain: signed.chain, fleetRoot: signed.fleetRoot, fleetId: keys.fleetId },
    { rootSpkiHash: rootSpkiHash(keys), agentSpkiHash: key.spkiHash, nowMs },
  );
  const [certificate, ...issuers] = signed.chain;
  if (certificate === undefined) throw new Error('The authority gave no certificate.');
  const template = createLeafTemplate({ agentId, hostName, publicKey: key.publicKey, certificate }, keys);
  return async (options) => {
    await makePrivateDirectory(options.stateDir);
    const store = await openIdentityStore(options.stateDir);
    const leaf = pemOf(template.issue({ agentId: options.agentId, hostName: options.name, publicKey: store.key.publicKey }));
    const stored = await store.saveIdentity(
      { ...chain, agentId: options.agentId, leaf, chain: [leaf, ...issuers.map(pemOf)].join('') },
      nowMs,
    );
    return { agentId: stored.agentId, spkiSha256: store.key.fingerprint, certificateEndsAt: stored.endsAtMs };
  };
};

const pemOf = (certificate: Uint8Array): string => new X509Certificate(Buffer.from(certificate)).toString();

/** Starts a signed agent. Raises STATE_FAILED when its address is taken. */
export const startSimulatedAgent = async (options: SimulatedAgentOptions): Promise<AsyncDisposable & { readonly server: AgentServer }> => {
  await using opened = new AsyncDisposableStack();
  const clock = systemClock;
  const identity = await createIdentityControl({ stateDir: options.stateDir, clock, random: systemRandom });
  opened.defer(() => identity.close());
  const host = createSimulatedHost({ ...options, clock });
  opened.defer(() => host.close());
  const raise: typeof host.raise = (code, warning) => host.raise(code, warning);
  const audit = await createAuditControl({
    stateDir: options.stateDir,
    clock,
    log: silentLogger,
    raise,
    sign: createHeadSigner(() => identity.identity()),
  });
  opened.defer(() => audit.close());
  const { index, stateDir } = options;
  const flows = { perSecond: options.flowsPerSecond };
  const traffic = createSimulatedTraffic({ clock, index, stateDir, raise, flows, onMappingEnded: noteMappingEnds(audit) });
  opened.defer(() => traffic.close());
  const parts = { stateDir: options.stateDir, identity, clock, log: silentLogger };
  const access = opened.adopt(await createAccessControl({ ...parts, fleet: () => identity.identity(), raise }), (control) =>
    control.close(),
  );
  opened.defer(noteLocks(audit, access));
  const sessions = opened.adopt(await createSessionControl({ ...parts, access, audit, raise }), (control) => control.close());
  const signed = {
    ...parts,
    checkAct: (act: Parameters<typeof sessions.checkAct>[0]) => sessions.checkAct(act),
    maySign: (subject: string, device: string) => access.decide({ subject, kind: 'operator', device }, 'rollouts:write') === null,
  };
  const rollouts = opened.adopt(createRolloutControl(signed), (control) => control.close());
  const intents = opened.adopt(createIntentControl(signed), (control) => control.close());
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
    audit,
    access,
    sessions,
    rollouts,
    intents,
    revisions,
    traffic,
    host,
    clock,
    logger: silentLogger,
    onAuthentication: (event) => auditConnection(audit, event),
  });
  opened.defer(() => server.close());
  const owned = opened.move();
  return { server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
};
