import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { addressBytes } from '../../test/support/packet.ts';
import { randomAddress, randomPort } from '../../test/support/packet-random.ts';
import { Random, randomPolicy } from '../../test/support/random-policy.ts';
import { ReferencePolicy } from '../../test/support/reference-model-policy.ts';
import { compilePolicy, openImage, parsePolicy } from './api.ts';
import type { PolicyDocument } from './api.ts';

const protocols = [6, 6, 6, 17, 17, 1, 58, 47];

const disagreements = (document: PolicyDocument, random: Random, tuples: number): unknown[] => {
  const image = openImage(compilePolicy(parsePolicy(document)).image);
  const reference = new ReferencePolicy(document);
  const found: unknown[] = [];
  for (let count = 0; count < tuples; count++) {
    const isIpv4 = random.chance(0.6);
    const source = randomAddress(random, document, isIpv4);
    const destination = randomAddress(random, document, isIpv4);
    const tuple = { protocol: random.pick(protocols), destinationPort: randomPort(random) };
    const judged = image.judge({ source, destination, ...tuple });
    const expected = reference.judge({ source: addressBytes(source), destination: addressBytes(destination), ...tuple });
    const isEqual =
      judged.reason === expected.reason && judged.mapping === expected.mapping && (judged.action === 'allow') === expected.isAllowed;
    if (!isEqual) found.push({ source, destination, ...tuple, judged, expected });
  }
  return found;
};

describe('a table image', () => {
  it('judges like the reference model for random policies and tuples', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 25 }), fc.integer({ min: 0, max: 80 }), (seed, services, mappings) => {
        const random = new Random(seed);
        expect(disagreements(randomPolicy(random, { services, mappings }), random, 100), `seed ${String(seed)}`).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('judges like the reference model for a policy of 400 mappings', () => {
    const seed = 20_250_101;
    const random = new Random(seed);
    expect(disagreements(randomPolicy(random, { services: 60, mappings: 400 }), random, 3000), `seed ${String(seed)}`).toEqual([]);
  });

  it('names the services of both sides, the winner, and what it beat', () => {
    const image = openImage(compilePolicy(parsePolicy(tracerPolicy)).image);
    expect(image.judge({ source: '198.18.4.9', destination: '198.18.9.12', protocol: 6, destinationPort: 5432 })).toEqual({
      action: 'deny',
      reason: 'POLICY_DENY',
      match: expect.any(Number) as number,
      mapping: 'deny-db-from-edge',
      priority: 500,
      sourceIdentity: 2,
      destinationIdentity: 1,
      sourceServices: ['edge', 'payments'],
      destinationServices: ['databases'],
      losers: [{ mapping: 'allow-anyone', action: 'allow', priority: 10 }],
    });
  });

  it('passes everything by default when the policy is empty, and nothing when it only denies', () => {
    const tuple = { source: '198.18.0.1', destination: '198.18.0.2', protocol: 17, destinationPort: 53 };
    const judge = (defaultAction: 'allow' | 'deny') =>
      openImage(compilePolicy(parsePolicy({ ...tracerPolicy, defaultAction, services: [], mappings: [] })).image).judge(tuple);
    expect(judge('allow')).toMatchObject({ action: 'allow', reason: 'DEFAULT_ALLOW', mapping: undefined });
    expect(judge('deny')).toMatchObject({ action: 'deny', reason: 'DEFAULT_DENY', mapping: undefined });
  });

  it('counts ICMP in IPv4 and ICMPv6 in IPv6 as icmp, and not the other way round', () => {
    const image = openImage(
      compilePolicy(
        parsePolicy({
          ...tracerPolicy,
          mappings: [{ name: 'ping', sources: ['any'], destinations: ['any'], protocols: ['icmp'], action: 'allow', priority: 1 }],
        }),
      ).image,
    );
    const reason = (source: string, destination: string, protocol: number) => image.judge({ source, destination, protocol }).reason;
    expect(reason('198.18.0.1', '198.18.0.2', 1)).toBe('POLICY_ALLOW');
    expect(reason('2001:db8::1', '2001:db8::2', 58)).toBe('POLICY_ALLOW');
    expect(reason('198.18.0.1', '198.18.0.2', 58)).toBe('DEFAULT_DENY');
    expect(reason('2001:db8::1', '2001:db8::2', 1)).toBe('DEFAULT_DENY');
  });

  it.each([
    ['a bad address', { source: '198.18.0', destination: '198.18.0.2', protocol: 1 }],
    ['two families', { source: '198.18.0.1', destination: '2001:db8::1', protocol: 1 }],
    ['a protocol over 255', { source: '198.18.0.1', destination: '198.18.0.2', protocol: 256 }],
    ['TCP without a port', { source: '198.18.0.1', destination: '198.18.0.2', protocol: 6 }],
    ['a port over 65535', { source: '198.18.0.1', destination: '198.18.0.2', protocol: 6, destinationPort: 65_536 }],
    ['five address bytes', { source: new Uint8Array(5), destination: '198.18.0.2', protocol: 1 }],
  ])('refuses a tuple with %s', (_, tuple) => {
    const image = openImage(compilePolicy(parsePolicy(tracerPolicy)).image);
    expect(() => image.judge(tuple)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });
});

const tracerPolicy: PolicyDocument = {
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [
    { name: 'edge', addresses: ['198.18.0.0/16', '2001:db8::/32'] },
    { name: 'payments', addresses: ['198.18.4.0/24'] },
    { name: 'databases', addresses: ['198.18.9.12', '2001:db8:9::12'] },
  ],
  mappings: [
    {
      name: 'deny-db-from-edge',
      sources: ['edge'],
      destinations: ['databases'],
      protocols: ['tcp'],
      ports: ['5432'],
      action: 'deny',
      priority: 500,
    },
    {
      name: 'allow-payments',
      sources: ['payments'],
      destinations: ['databases'],
      protocols: ['tcp'],
      ports: ['5432'],
      action: 'allow',
      priority: 100,
    },
    { name: 'allow-anyone', sources: ['any'], destinations: ['databases'], protocols: ['any'], action: 'allow', priority: 10 },
  ],
};
