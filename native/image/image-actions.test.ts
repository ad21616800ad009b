import { describe, expect, it } from 'vitest';

import { Random } from '../../test/support/random-policy.ts';
import { backendSeed, burstOf, compilePolicy, openImage, parsePolicy } from './api.ts';
import type { PolicyMapping, PolicyRateLimit } from './api.ts';
import { decodeImage } from './image-decoder.ts';
import type { ImageAction } from './image-content.ts';
import { backendsMax, balancersMax, ringNone } from './limits.ts';

const mapping = (name: string, fields: Partial<PolicyMapping> = {}): PolicyMapping => ({
  name,
  sources: ['any'],
  destinations: ['any'],
  protocols: ['tcp'],
  action: 'allow',
  priority: 1,
  ...fields,
});

const documentOf = (mappings: readonly PolicyMapping[]) => ({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [{ name: 'vip', addresses: ['198.19.4.80', '2001:db8:4::80'] }],
  mappings,
  denyLists: [{ name: 'bad', prefixes: ['203.0.113.0/24', '2001:db8:bad::/48'] }],
});

const imageOf = (...mappings: PolicyMapping[]): Uint8Array => compilePolicy(parsePolicy(documentOf(mappings))).image;

const web = mapping('web', {
  priority: 100,
  destinations: ['vip'],
  ports: ['443'],
  action: 'balance',
  nat: 'full',
  affinity: 'source',
  dscp: 'P1',
  rateLimit: { bytesPerSecond: 1e12, packetsPerSecond: 1e9, per: 'source' },
  backends: [
    { name: 'six', address: '2001:db8:9::1' },
    { name: 'b', address: '198.19.9.2', port: 8443, weight: 0 },
    { name: 'a', address: '198.19.9.1', weight: 1000, state: 'down' },
  ],
});
const dns = mapping('dns', {
  protocols: ['udp'],
  destinations: ['vip'],
  action: 'balance',
  backends: [{ name: 'one', address: '2001:db8:9::53' }],
});
const out = mapping('out', { protocols: ['any'], sourceNat: '192.0.2.1', priority: 0 });
const image = imageOf(web, dns, out, mapping('plain'), mapping('no', { action: 'deny', dscp: 'P0', protocols: ['udp'] }));

const actionOf = (fields: Partial<PolicyMapping>): ImageAction | undefined => decodeImage(imageOf(mapping('m', fields))).actions.get(0);

describe('the action tables of an image', () => {
  it('hold balancers by mapping, backends by name, and rings in the order of use', () => {
    const { actions, balancers, backends, mappings } = decodeImage(image);
    expect(mappings.map(({ name }) => name)).toEqual(['dns', 'no', 'out', 'plain', 'web']);
    expect([...actions.keys()]).toEqual([0, 2, 4]);
    expect(balancers).toEqual([
      { mapping: 0, ring4: ringNone, ring6: 0, firstBackend: 0, backendCount: 1, nat: 1, isBySource: false },
      { mapping: 4, ring4: 1, ring6: 2, firstBackend: 1, backendCount: 3, nat: 2, isBySource: true },
    ]);
    expect(backends.map(({ name, port, weight, state, balancer }) => [name, port, weight, state, balancer])).toEqual([
      ['one', 0, 1, 0, 0],
      ['a', 0, 1000, 2, 1],
      ['b', 8443, 0, 0, 1],
      ['six', 0, 1, 0, 1],
    ]);
    expect(backends[2]?.seed).toBe(backendSeed('b', '198.19.9.2', 8443));
    expect(openImage(image).backends[2]).toEqual({ mapping: 'web', backend: 'b' });
  });

  it.each<[PolicyRateLimit, number[]]>([
    [{ packetsPerSecond: 1000 }, [1000, 0, 100, 0]],
    [{ packetsPerSecond: 1 }, [1, 0, 1, 0]],
    [{ packetsPerSecond: 1000, burst: 7 }, [1000, 0, 7, 0]],
    [{ bytesPerSecond: 125_000_000 }, [0, 125_000_000, 0, 12_500_000]],
    [{ bytesPerSecond: 1000 }, [0, 1000, 0, 65_536]],
    [{ bytesPerSecond: 1000, burst: 1514 }, [0, 1000, 0, 1514]],
    [{ packetsPerSecond: 1000, bytesPerSecond: 1_000_000_000, burst: 500 }, [1000, 1_000_000_000, 500, 500_000_000]],
    [{ packetsPerSecond: 1e9, bytesPerSecond: 1 }, [1e9, 1, 1e8, 65_536]],
    [{ packetsPerSecond: 1, bytesPerSecond: 1e12, burst: 1e9 }, [1, 1e12, 1e9, 4e9]],
  ])('give %j buckets of %j', (rateLimit, [packetsPerSecond, bytesPerSecond, burstPackets, burstBytes]) => {
    expect(actionOf({ rateLimit })).toMatchObject({ packetsPerSecond, bytesPerSecond, burstPackets, burstBytes, flags: 0 });
  });

  it('hold source NAT, classes of service and limits per source, and nothing for what denies', () => {
    expect(actionOf({ sourceNat: 'masquerade' })).toMatchObject({ flags: 4, source4: 0, dscp: 0xff });
    expect(actionOf({ sourceNat: '192.0.2.1' })).toMatchObject({ flags: 2, source4: 0xc000_0201, source6: [0, 0, 0, 0] });
    expect(actionOf({ sourceNat: '2001:db8::1' })).toMatchObject({ flags: 2, source4: 0, source6: [0x2001_0db8, 0, 0, 1] });
    expect(['P0', 'P1', 'P2', 'P3'].map((dscp) => actionOf({ dscp: dscp as 'P0' })?.dscp)).toEqual([46, 34, 18, 0]);
    expect(actionOf({ rateLimit: { packetsPerSecond: 1, per: 'source' } })?.flags).toBe(1);
    expect(actionOf({ action: 'deny', dscp: 'P0' })).toBeUndefined();
    expect(actionOf({})).toBeUndefined();
  });

  it('are judged: who balances, who limits, and what cannot be translated', () => {
    const judge = (source: string, destination: string, protocol = 6) =>
      openImage(image).judge({ source, destination, protocol, sourcePort: 40_000, destinationPort: 443 });
    expect(judge('198.18.0.1', '198.19.4.80')).toMatchObject({
      action: 'deny',
      reason: 'NO_BACKEND',
      mapping: 'web',
      treatment: {
        refusal: 'NO_BACKEND',
        dscp: 34,
        balancer: {
          nat: 'full',
          backends: [
            { name: 'a', state: 'down' },
            { name: 'b', weight: 0 },
          ],
        },
      },
    });
    expect(judge('2001:db8::1', '2001:db8:4::80')).toMatchObject({
      action: 'allow',
      reason: 'POLICY_ALLOW',
      treatment: {
        refusal: undefined,
        rateLimit: { packetsPerSecond: 1e9, bytesPerSecond: 1e12, burstPackets: 1e8, burstBytes: 4e9, per: 'source' },
        balancer: {
          affinity: 'source',
          ringPosition: expect.any(Number) as number,
          backends: [{ name: 'six', address: '2001:db8:9::1', port: 0 }],
        },
      },
    });
    expect(judge('198.18.0.1', '198.18.0.2', 47)).toMatchObject({
      reason: 'NOT_TRANSLATABLE',
      mapping: 'out',
      treatment: { sourceNat: '192.0.2.1' },
    });
    expect(judge('2001:db8::1', '2001:db8::2', 47)).toMatchObject({ reason: 'POLICY_ALLOW', treatment: { sourceNat: undefined } });
    expect(judge('203.0.113.9', '198.19.4.80')).toMatchObject({ reason: 'DENY_LIST', mapping: undefined, treatment: undefined });
    expect(judge('198.18.0.1', '198.18.0.2', 6)).toMatchObject({ mapping: 'plain', treatment: undefined });
  });

  it('ask the ring where the source port says, when it is known', () => {
    const opened = openImage(imageOf({ ...web, affinity: 'none' }));
    const tuple = { source: '2001:db8::1', destination: '2001:db8:4::80', protocol: 6, destinationPort: 443 };
    expect(opened.judge(tuple).treatment?.balancer?.ringPosition).toBeUndefined();
    const positions = [1, 2, 3].map((sourcePort) => opened.judge({ ...tuple, sourcePort }).treatment?.balancer?.ringPosition);
    expect(new Set(positions).size).toBe(3);
  });

  it('refuse one balancer or backend too many, by name', () => {
    const balancing = (index: number, count: number): PolicyMapping =>
      mapping(`m${String(index).padStart(4, '0')}`, {
        action: 'balance',
        backends: Array.from({ length: count }, (_, number) => ({
          name: `b${String(number)}`,
          address: `198.18.${String(number >> 8)}.${String(number & 255)}`,
        })),
      });
    const refusal = (mappings: PolicyMapping[]): unknown => {
      try {
        return compilePolicy(parsePolicy(documentOf(mappings))).stats;
      } catch (error) {
        return (error as { details: unknown }).details;
      }
    };
    const most = Array.from({ length: balancersMax }, (_, index) => balancing(index, 1));
    expect(refusal(most)).toMatchObject({ balancers: balancersMax });
    expect(refusal([...most, balancing(9999, 1)])).toEqual({ mapping: 'm9999', limit: 'balancers', max: balancersMax });
    const wide = [balancing(1, backendsMax / 2), balancing(2, backendsMax / 2)];
    expect(refusal(wide)).toMatchObject({ backends: backendsMax });
    expect(refusal([...wide, balancing(3, 1)])).toEqual({ mapping: 'm0003', limit: 'backends', max: backendsMax });
  });
});

describe('opening an image with actions', () => {
  const view = new DataView(image.buffer);
  const count = (offset: number): number => view.getUint32(offset, true);
  const aligned = (offset: number): number => Math.ceil(offset / 8) * 8;
  const [mappings, actions] = [count(32), count(52)];
  const identities = aligned(aligned(96 + count(16) * 16) + count(20) * 28);
  const actionsAt = aligned(aligned(aligned(identities + count(24) * 20) + count(28) * 8) + mappings * 12);
  const deny4At = aligned(actionsAt + actions * 72);
  const deny6At = aligned(deny4At + count(56) * 12);
  const balancersAt = aligned(deny6At + count(60) * 24);
  const backendsAt = aligned(balancersAt + count(68) * 24);

  const refusal = (offset: number, bytes: readonly number[]): unknown => {
    const copy = image.slice();
    copy.set(bytes, offset);
    try {
      openImage(copy);
      return 'accepted';
    } catch (error) {
      return (error as { details?: { what?: string } }).details?.what ?? error;
    }
  };

  it.each<[string, number, number[], string]>([
    ['the action of a mapping that denies', actionsAt, [1], 'an action has no mapping that allows'],
    ['the action of no mapping', actionsAt, [200], 'an action has no mapping that allows'],
    ['actions out of order', actionsAt + 72, [0], 'actions are not sorted'],
    ['padding', actionsAt + 4, [1], 'padding of an action is set'],
    ['a rate beyond its range', actionsAt + 2 * 72 + 15, [1], 'a rate limit is out of range'],
    ['a burst without a rate', actionsAt + 24, [1], 'a rate limit is out of range'],
    ['a limit per source without a limit', actionsAt + 45, [1], 'a rate limit is out of range'],
    ['another balancer', actionsAt + 40, [2], 'an action names the balancer of another mapping'],
    ['no balancer', actionsAt + 40, [0], 'a balancer has no action'],
    ['a DSCP of 64', actionsAt + 44, [64], 'a DSCP is out of range'],
    ['an address without source NAT', actionsAt + 48, [1], 'a source NAT contradicts itself'],
    ['two kinds of source NAT', actionsAt + 72 + 45, [6], 'a source NAT contradicts itself'],
    ['a prefix of 33 bits', deny4At, [33], 'a denied prefix is malformed'],
    ['host bits', deny4At + 7, [1], 'a denied prefix is malformed'],
    ['an unknown list', deny4At + 8, [1], 'a denied prefix names an unknown list'],
    ['a bad IPv6 prefix', deny6At, [129], 'a denied prefix is malformed'],
    ['balancers out of order', balancersAt, [9], 'balancers are not sorted'],
    ['a bad kind of NAT', balancersAt + 18, [4], 'a balancer is out of range'],
    ['a bad ring', balancersAt + 8, [7], 'a balancer has a bad ring'],
    ['too few backends', balancersAt + 16, [0], 'a balancer does not fit its backends'],
    ['another first backend', balancersAt + 12, [1], 'a balancer does not fit its backends'],
    ['a weight over 1000', backendsAt + 19, [255], 'a backend is out of range'],
    ['family 5', backendsAt + 20, [5], 'a backend is out of range'],
    ['state 3', backendsAt + 21, [3], 'a backend is out of range'],
    ['the backend of another', backendsAt + 28, [1], 'a balancer does not fit its backends'],
    ['deny lists without their flag', 12, [3], 'its flags do not fit its deny lists'],
  ])('refuses %s', (...row) => {
    const [, offset, bytes, what] = row;
    expect(refusal(offset, bytes)).toBe(what);
  });

  it('refuses or survives every damage of one byte', () => {
    const random = new Random(12);
    const codes = new Map<string, number>();
    for (let round = 0; round < 4000; round++) {
      const copy = image.slice();
      copy[random.between(0, copy.length - 1)] = random.between(0, 255);
      let code = 'accepted';
      try {
        openImage(copy).judge({ source: '198.18.0.1', destination: '198.19.4.80', protocol: 6, sourcePort: 1, destinationPort: 443 });
      } catch (error) {
        code = (error as { code?: string }).code ?? String(error);
      }
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect([...codes.keys()].sort()).toEqual(['IMAGE_INVALID', 'accepted']);
  });
});

describe('the burst of a limit', () => {
  it.each<[PolicyRateLimit, number]>([
    [{ packetsPerSecond: 100 }, 10],
    [{ packetsPerSecond: 100, burst: 7 }, 7],
    // One packet that the kernel has merged has to fit.
    [{ bytesPerSecond: 100_000 }, 65_536],
    [{ bytesPerSecond: 10_000_000 }, 1_000_000],
    [{ bytesPerSecond: 10_000_000, packetsPerSecond: 50 }, 5],
  ])('of %j is %d, as the tables have it', (limit, burst) => {
    const { mappings } = parsePolicy(documentOf([mapping('m', { rateLimit: limit })]));
    expect(burstOf(mappings[0]?.rateLimit ?? { per: 'mapping' })).toBe(burst);
  });
});
