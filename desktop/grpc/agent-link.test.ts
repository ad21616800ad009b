import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFleetKeys, signAgent, rootSpkiHash } from '../core/authority/fleet-authority.ts';
import type { FleetKeys } from '../core/authority/fleet-authority.ts';
import { NestError, errorCodeOf } from '../../proto/model/error.ts';
import { createGate, systemClock, systemRandom } from '../lib/api.ts';
import type { Gate } from '../lib/api.ts';
import { createHandshakePace } from './handshake-pace.ts';
import { createAgentLink } from './agent-link.ts';
import type { AgentLink, LinkState } from './agent-link.ts';
import { clockSkewMs } from './connection.ts';
import { createEnrollmentExchange, joinTokenOf } from './enrollment-exchange.ts';
import { createFakeAgent } from './fake-agent.ts';
import type { FakeAgent } from './fake-agent.ts';
import { createOperatorIdentity } from './operator-identity.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import { spkiFingerprint } from './peer-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';

const agentId = '01JZ0000000000000000000000';
const never = new AbortController().signal;
const context = { now: Date.now(), random: systemRandom };

let agent: FakeAgent;
let fleet: FleetKeys;
let operator: OperatorIdentity;
let identity: AgentIdentity;
let stop: AbortController;
let upkeep: Promise<unknown>[];

const makeFleet = (fleetId: string): Promise<FleetKeys> =>
  createFleetKeys({ fleetId, fleetName: 'Test', operatorName: 'Test Operator' }, context);
const operatorOf = (keys: FleetKeys, root = keys): OperatorIdentity =>
  createOperatorIdentity({
    fleetRoot: root.root.certificate,
    certificate: keys.operator.certificate,
    privateKey: keys.operator.privateKey,
  });

/** Enrols the fake agent without a console core. */
const enroll = async (): Promise<void> => {
  const token = joinTokenOf(rootSpkiHash(fleet), systemRandom);
  agent.join(token.text);
  const exchange = createEnrollmentExchange({
    endpoint: { address: '127.0.0.1', port: agent.port },
    operator,
    token,
    random: systemRandom,
  });
  const proof = await exchange.prove(never);
  const signed = await signAgent(
    fleet,
    { agentId, hostName: 'edge', signingRequest: proof.signingRequest, spkiSha256: proof.spkiSha256 },
    context,
  );
  expect(await exchange.complete({ certificateChain: signed.chain, fleetRoot: signed.fleetRoot, fleetId: fleet.fleetId }, never)).toBe(
    agentId,
  );
  exchange.close();
  identity = { fleetId: fleet.fleetId, agentId, spkiSha256: proof.spkiSha256 };
};

const maintain = (
  changes: {
    readonly operator?: OperatorIdentity;
    readonly identity?: Partial<AgentIdentity>;
    readonly port?: number;
    readonly gate?: Gate;
    readonly work?: Parameters<AgentLink['maintain']>[0];
  } = {},
): AgentLink => {
  const link = createAgentLink({
    endpoint: { address: '127.0.0.1', port: changes.port ?? agent.port },
    identity: { ...identity, ...changes.identity },
    operator: changes.operator ?? operator,
    consoleVersion: '0.0.0',
    clock: systemClock(),
    random: systemRandom,
    gate: changes.gate ?? createGate({ inFlightMax: 32, waitingMax: 10 }),
    pace: createHandshakePace(),
  });
  const work: Parameters<AgentLink['maintain']>[0] = async (client, signal) => {
    await client.watchStatus(() => undefined, signal);
  };
  upkeep.push(link.maintain(changes.work ?? work, stop.signal).catch(() => undefined));
  return link;
};

const reached = async (link: AgentLink, isWanted: (state: LinkState) => boolean): Promise<LinkState> => {
  for await (const state of link.follow(AbortSignal.timeout(10_000))) if (isWanted(state)) return state;
  throw new Error(`the link stayed ${JSON.stringify(link.state)}`);
};

const refusal = async (link: AgentLink): Promise<string> => {
  const state = await reached(link, ({ kind }) => kind === 'down');
  return state.kind === 'down' ? state.error.code : '';
};

beforeEach(async () => {
  stop = new AbortController();
  upkeep = [];
  fleet = await makeFleet('01jz0000000000000000000001');
  operator = operatorOf(fleet);
  agent = await createFakeAgent();
});

afterEach(async () => {
  stop.abort();
  await Promise.all(upkeep);
  await agent.stop();
});

describe('a link to an enrolled agent', () => {
  beforeEach(async () => {
    await enroll();
    // The agent comes back under its certificate a moment after its answer.
    await new Promise((resolve) => setTimeout(resolve, 120));
  });

  it('connects, says Hello, and resumes its TLS session when it connects again', async () => {
    const link = maintain();
    expect(await reached(link, ({ kind }) => kind === 'up')).toMatchObject({ agentVersion: '1.2.3', isResumed: false });
    const again = maintain();
    expect(await reached(again, ({ kind }) => kind === 'up')).toMatchObject({ isResumed: true });
  });

  it('is down while the agent is away and comes back by itself', async () => {
    const link = maintain();
    await reached(link, ({ kind }) => kind === 'up');
    await agent.stop();
    expect(await refusal(link)).toBe('HOST_UNREACHABLE');
    await expect(link.client(20, never)).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
    await agent.start();
    await expect(link.client(8_000, never)).resolves.toBeDefined();
  });

  it('starts over when the agent cancels what it was asked, which is not the end of the link', async () => {
    let times = 0;
    const twice = new Promise<void>((resolve) => {
      maintain({
        work: async () => {
          times += 1;
          if (times === 2) resolve();
          throw new NestError('CANCELLED', 'The call was cancelled.');
        },
      });
    });
    await twice;
    expect(times).toBe(2);
  });

  it('does not wait for a host that takes the connection and says nothing', async () => {
    const held: Socket[] = [];
    const silent = createServer((socket) => void held.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const gate = createGate({ inFlightMax: 1, waitingMax: 10 });
    const mute = maintain({ gate, port: (silent.address() as AddressInfo).port });
    const link = maintain({ gate });
    await reached(link, ({ kind }) => kind === 'up');
    expect(mute.state.kind).toBe('connecting');
    for (const socket of held) socket.destroy();
    silent.close();
  });

  it('takes half the round trip off when it compares clocks', async () => {
    agent.state.clockOffsetMs = 90_000;
    const state = await reached(maintain(), ({ kind }) => kind === 'up');
    expect(Math.abs((state.kind === 'up' ? state.clockSkewMs : 0) - 90_000)).toBeLessThan(500);
    expect(clockSkewMs({ hostTimeMs: 10_100, askedAt: 10_000, roundTripMs: 200 })).toBe(0);
  });

  it('refuses an agent with another key, another id or another fleet root, and tells which', async () => {
    expect(await refusal(maintain({ identity: { spkiSha256: 'ab'.repeat(32) } }))).toBe('IDENTITY_MISMATCH');
    expect(await refusal(maintain({ identity: { agentId: '01JZ0000000000000000000009' } }))).toBe('IDENTITY_MISMATCH');
    const other = await makeFleet('01jz0000000000000000000002');
    expect(await refusal(maintain({ operator: operatorOf(fleet, other) }))).toBe('CERTIFICATE_INVALID');
  });

  it('never resumes a session of a peer that was refused', async () => {
    const link = maintain({ identity: { spkiSha256: 'ab'.repeat(32) } });
    const state = await reached(link, (current) => current.kind === 'down' && current.attempts >= 2);
    expect(state).toMatchObject({ kind: 'down', error: { code: 'IDENTITY_MISMATCH' } });
  });

  it('says so when the agent refuses the certificate of the console', async () => {
    const other = await makeFleet('01jz0000000000000000000002');
    expect(await refusal(maintain({ operator: operatorOf(other, fleet) }))).toBe('CERTIFICATE_INVALID');
  });

  it('carries code and details of a refusal, deadlines and cancellation', async () => {
    const client = await maintain().client(8_000, never);
    agent.state.refusal = new NestError('REVISION_CONFLICT', 'Revision 7 is current.', { details: { currentRevision: 7 } });
    const request = { baseRevision: 1n, policyJson: '{}', flowWindowMinutes: 15 };
    await expect(client.planConfig(request, { signal: never })).rejects.toMatchObject({
      code: 'REVISION_CONFLICT',
      message: 'Revision 7 is current.',
      details: { currentRevision: 7 },
    });
    agent.state.refusal = null;
    agent.state.hold = new Promise(() => undefined);
    await expect(client.planConfig(request, { signal: never, deadlineMs: 60 })).rejects.toMatchObject({ code: 'TIMED_OUT' });
    const gone = new AbortController();
    const call = client.planConfig(request, { signal: gone.signal }).catch(errorCodeOf);
    gone.abort();
    expect(await call).toBe('CANCELLED');
  });
});

describe('an enrolment exchange', () => {
  const exchangeWith = (token = joinTokenOf(rootSpkiHash(fleet), systemRandom)) =>
    createEnrollmentExchange({ endpoint: { address: '127.0.0.1', port: agent.port }, operator, token, random: systemRandom });

  it('sends no proof of its own to somebody who cannot prove the token', async () => {
    const token = joinTokenOf(rootSpkiHash(fleet), systemRandom);
    agent.join(token.text);
    agent.state.isImpostor = true;
    const exchange = exchangeWith(token);
    await expect(exchange.prove(never)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    await expect(exchange.complete({ certificateChain: [], fleetRoot: new Uint8Array(), fleetId: '' }, never)).rejects.toMatchObject({
      code: 'ENROLLMENT_CLOSED',
    });
    exchange.close();
  });

  it('is refused with another token, and while the agent waits for none', async () => {
    const closed = exchangeWith();
    await expect(closed.prove(never)).rejects.toMatchObject({ code: 'ENROLLMENT_CLOSED' });
    agent.join(joinTokenOf(rootSpkiHash(fleet), systemRandom).text);
    await expect(closed.prove(never)).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
    closed.close();
  });

  it('shows fingerprints as agents print them', () => {
    expect(spkiFingerprint('84a6bbf4fd98')).toBe('84a6 bbf4 fd98');
  });
});
