import { beforeAll, describe, expect, it } from 'vitest';
import { generateAgentKey } from './agent-key.ts';
import type { AgentKey } from './agent-key.ts';
import { createSigningRequest } from './bootstrap-certificate.ts';
import { checkChain } from './certificate-chain.ts';
import type { ChainOffer } from './certificate-chain.ts';
import { createTestFleet, testAgentId } from './test-fleet.ts';
import type { IssueOptions, TestFleet } from './test-fleet.ts';

const fleetId = '01jz000000000000000000000a';
const day = 86_400_000;
const nowMs = Date.UTC(2026, 5, 1);

describe('certificate chain of an agent', () => {
  let fleet: TestFleet;
  let other: TestFleet;
  let key: AgentKey;
  let request: Uint8Array;
  beforeAll(async () => {
    fleet = await createTestFleet(fleetId, nowMs);
    other = await createTestFleet('01jz000000000000000000000b', nowMs);
    key = generateAgentKey();
    request = await createSigningRequest(key);
  });

  const check = (offer: Partial<ChainOffer> & Pick<ChainOffer, 'certificateChain'>) =>
    checkChain(
      { fleetId, fleetRoot: fleet.root.certificateDer, ...offer },
      { rootSpkiHash: fleet.root.spkiHash, agentSpkiHash: key.spkiHash, nowMs },
    );
  const refusal = async (options: IssueOptions): Promise<unknown> => {
    const certificateChain = await fleet.signAgent(request, options);
    try {
      check({ certificateChain });
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
    return 'taken';
  };

  it('is taken when everything holds', async () => {
    const certificateChain = await fleet.signAgent(request);
    expect(check({ certificateChain })).toMatchObject({
      agentId: testAgentId,
      fleetId,
      endsAtMs: nowMs + 30 * day,
      leaf: expect.stringContaining('BEGIN CERTIFICATE') as string,
    });
  });

  it.each<[string, IssueOptions, string]>([
    ['two URI names', { uris: [`spiffe://${fleetId}/agent/${testAgentId}`, 'spiffe://x/agent/y'] }, 'CERTIFICATE_INVALID'],
    ['no URI name', { uris: [] }, 'CERTIFICATE_INVALID'],
    ['an operator identity', { uris: [`spiffe://${fleetId}/operator/${testAgentId}`] }, 'CERTIFICATE_INVALID'],
    ['an agent id that is no ULID', { uris: [`spiffe://${fleetId}/agent/edge-1`] }, 'CERTIFICATE_INVALID'],
    ['another fleet in its name', { uris: [`spiffe://01jz000000000000000000000b/agent/${testAgentId}`] }, 'FLEET_MISMATCH'],
    ['no DNS name', { dnsNames: [] }, 'CERTIFICATE_INVALID'],
    ['the DNS name of another agent', { dnsNames: ['01jz0000000000000000000002.agent.nest.internal'] }, 'CERTIFICATE_INVALID'],
    ['an end in the past', { notAfter: nowMs - 1000 }, 'CERTIFICATE_INVALID'],
    ['a beginning in the future', { notBefore: nowMs + day }, 'CERTIFICATE_INVALID'],
    ['use as a client only', { usages: ['1.3.6.1.5.5.7.3.2'] }, 'CERTIFICATE_INVALID'],
    ['the rights of an authority', { authority: true }, 'CERTIFICATE_INVALID'],
  ])('is refused with %s', async (_what, options, code) => {
    expect(await refusal(options)).toBe(code);
  });

  it('is taken from the authority for agents, and from no other', async () => {
    expect(check({ certificateChain: await fleet.signAgent(request, { under: 'agents' }) })).toMatchObject({ agentId: testAgentId });
    expect(await refusal({ under: 'operators' })).toBe('CERTIFICATE_INVALID');
    const [leaf = Buffer.alloc(0)] = await fleet.signAgent(request, { under: 'agents' });
    const wrong = Buffer.from(fleet.authorities.operators.certificate.rawData);
    for (const certificateChain of [[leaf], [leaf, wrong], [leaf, leaf]])
      expect(() => check({ certificateChain })).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
  });

  it('is refused when another root signed it', async () => {
    expect(await refusal({ issuer: other })).toBe('CERTIFICATE_INVALID');
  });

  it('is refused for the key of somebody else', async () => {
    const certificateChain = await fleet.signAgent(await createSigningRequest(generateAgentKey()));
    expect(() => check({ certificateChain })).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
  });

  it('is refused with a root that is not pinned, even when that root signed it', async () => {
    const certificateChain = await other.signAgent(request, { uris: [`spiffe://${fleetId}/agent/${testAgentId}`] });
    expect(() => check({ certificateChain, fleetRoot: other.root.certificateDer })).toThrow(
      expect.objectContaining({ code: 'FLEET_MISMATCH' }) as Error,
    );
  });

  it('is refused when it is empty, too long, or not made of certificates', async () => {
    const [leaf = Buffer.alloc(0)] = await fleet.signAgent(request);
    for (const certificateChain of [
      [],
      [leaf, leaf, leaf, leaf, leaf],
      [Buffer.from('no certificate')],
      [leaf.subarray(0, 100)],
      [leaf, leaf],
    ]) {
      expect(() => check({ certificateChain })).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
    }
    expect(() => check({ certificateChain: [leaf], fleetId: '../fleet' })).toThrow(
      expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error,
    );
  });
});
