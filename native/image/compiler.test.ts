import { describe, expect, it } from 'vitest';

import { Random, randomPolicy } from '../../test/support/random-policy.ts';
import { compilePolicy, generationOf, openImage, parsePolicy } from './api.ts';
import type { Policy, PolicyDocument, PolicyMapping, PolicyService } from './api.ts';
import { mappingsMax, pairsMax, portIntervalsMax } from './limits.ts';

const document = (services: readonly PolicyService[], mappings: readonly PolicyMapping[]): PolicyDocument => ({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services,
  mappings,
});

const mapping = (name: string, fields: Partial<PolicyMapping> = {}): PolicyMapping => ({
  name,
  sources: ['any'],
  destinations: ['any'],
  protocols: ['tcp'],
  action: 'allow',
  priority: 100,
  ...fields,
});

const service = (index: number): PolicyService => ({
  name: `s${String(index)}`,
  addresses: [
    `198.${String(18 + (index >> 15))}.${String((index >> 7) & 255)}.${String((index & 127) * 2)}/31`,
    `2001:db8:${index.toString(16)}::/48`,
  ],
});

const refusal = (policy: PolicyDocument): unknown => {
  try {
    return compilePolicy(parsePolicy(policy)).stats;
  } catch (error) {
    return { ...(error as { code: string; details: object }).details, code: (error as { code: string }).code };
  }
};

/** The same meaning, told in another order and with repetitions. */
const retold = (random: Random, policy: PolicyDocument): PolicyDocument => {
  const again = <T>(list: readonly T[]): T[] => random.shuffle(list.length > 0 && random.chance(0.5) ? [...list, random.pick(list)] : list);
  return {
    ...policy,
    services: random.shuffle(policy.services.map(({ name, addresses }) => ({ name, addresses: again(addresses) }))),
    mappings: random.shuffle(
      policy.mappings.map((entry) => ({
        ...entry,
        sources: again(entry.sources),
        destinations: again(entry.destinations),
        protocols: again(entry.protocols),
        ports: again(entry.ports ?? []),
      })),
    ),
  };
};

describe('the policy compiler', () => {
  it('gives the same bytes for any order and repetition of entries', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new Random(seed);
      const policy = randomPolicy(random, { services: 15, mappings: 60 });
      const { image } = compilePolicy(parsePolicy(policy));
      expect(compilePolicy(parsePolicy(retold(random, policy))).image, `seed ${String(seed)}`).toEqual(image);
    }
  });

  it('gives the same bytes for ports, networks and "any" spelt otherwise', () => {
    const services = [{ name: 'web', addresses: ['198.18.0.1/32', '2001:DB8:0::/48'] }];
    const a = document(services, [mapping('m', { destinations: ['web'], ports: ['80-82', '443'] })]);
    const b = document(
      [{ name: 'web', addresses: ['2001:db8::/48', '198.18.0.1'] }],
      [mapping('m', { sources: ['web', 'any'], destinations: ['web'], ports: ['443,80', '81-82'] })],
    );
    expect(compilePolicy(parsePolicy(a)).image).toEqual(compilePolicy(parsePolicy(b)).image);
  });

  it('names the generation by the SHA-256 of the image, the same on every machine', async () => {
    const { image } = compilePolicy(parsePolicy(document([service(0)], [mapping('allow-web', { destinations: ['s0'], ports: ['443'] })])));
    expect(await generationOf(image)).toBe('548a4af0593f9fca33e74fe362d396d9688308563ac965d15666bc4bdbdd2cb3');
  });

  it('stores equal port lists once, and leaves out pairs that can never meet', () => {
    const services = [
      { name: 'four', addresses: ['198.18.0.0/24'] },
      { name: 'six', addresses: ['2001:db8::/64'] },
      { name: 'both', addresses: ['198.18.1.0/24', '2001:db8:1::/64'] },
    ];
    const { stats } = compilePolicy(
      parsePolicy(
        document(services, [
          mapping('m', { sources: ['four', 'six'], destinations: ['four', 'both'], protocols: ['tcp', 'udp'], ports: ['443'] }),
        ]),
      ),
    );
    // four>four, four>both, six>both, each for TCP and UDP; one list of three intervals.
    expect(stats).toMatchObject({ identities4: 2, identities6: 2, sourceClasses: 2, destinationClasses: 2, pairs: 6, portIntervals: 3 });
  });

  it('makes pairs for the transports a mapping can match alone: with ports, TCP and UDP', () => {
    const pairsOf = (fields: Partial<PolicyMapping>): unknown => refusal(document([], [mapping('m', fields)]));
    expect(pairsOf({ protocols: ['any'] })).toMatchObject({ pairs: 4 });
    expect(pairsOf({ protocols: ['any'], ports: ['443'] })).toMatchObject({ pairs: 2 });
    expect(pairsOf({ protocols: ['icmp'] })).toMatchObject({ pairs: 1 });
  });

  it('leaves out prefixes that say what the one around them says', () => {
    const services = [{ name: 'web', addresses: ['198.18.0.0/24', '198.18.0.128/25', '198.18.0.7'] }];
    expect(compilePolicy(parsePolicy(document(services, [mapping('m', { destinations: ['web'] })]))).stats).toMatchObject({
      identities4: 1,
      destinationClasses: 1,
      pairs: 1,
    });
  });

  it('compiles ten times the mappings and services in not much more than ten times the time', { timeout: 60_000 }, () => {
    const policyOf = (size: number): Policy => {
      const services = Array.from({ length: size }, (_, index) => service(index));
      const sourceOf = (index: number): string => `s${String((index * 7) % size)}`;
      return parsePolicy(
        document(
          services,
          services.map(({ name }, index) =>
            mapping(`m${String(index)}`, { sources: [sourceOf(index)], destinations: [name], ports: [String(1 + index)] }),
          ),
        ),
      );
    };
    // The best of several: whatever else the machine does only adds.
    const bestMs = (policy: Policy): number =>
      Math.min(
        ...Array.from({ length: 2 }, () => {
          const started = performance.now();
          compilePolicy(policy);
          return performance.now() - started;
        }),
      );
    const policy = policyOf(10_000);
    // Comparing every mapping with every other one would take a hundred times as long.
    expect(bestMs(policy) / bestMs(policyOf(1000))).toBeLessThan(50);
    const { stats, image, names } = compilePolicy(policy);
    expect(stats).toMatchObject({
      identities4: 10_000,
      identities6: 10_000,
      pairs: 10_000,
      portIntervals: 30_000,
      mappings: 10_000,
      imageBytes: image.length,
    });
    const judged = openImage(image).judge({ source: '198.18.0.14', destination: '198.18.0.2', protocol: 6, destinationPort: 2 });
    expect(judged).toMatchObject({ reason: 'POLICY_ALLOW', mapping: 'm1' });
    expect(names[0]).toBe('m0');
  });

  it('takes as many mappings as the limit, and refuses one more by name', () => {
    const mappings = Array.from({ length: mappingsMax }, (_, index) => mapping(`m${String(index)}`, { ports: [String(1 + index * 2)] }));
    expect(refusal(document([], mappings))).toMatchObject({ mappings: mappingsMax, pairs: 1, portIntervals: mappingsMax * 2 + 1 });
    expect(refusal(document([], [...mappings, mapping('zzz')]))).toEqual({
      code: 'POLICY_TOO_LARGE',
      mapping: 'zzz',
      limit: 'mappings',
      max: mappingsMax,
    });
  });

  it('names the mapping that crosses the limit of pairs', () => {
    const services = Array.from({ length: 1100 }, (_, index) => service(index));
    const names = services.map(({ name }) => name);
    const policy = document(services, [
      mapping('a-small', { sources: ['s0'], destinations: ['s1'] }),
      mapping('b-huge', { sources: names, destinations: names }),
      mapping('c-later'),
    ]);
    expect(refusal(policy)).toEqual({ code: 'POLICY_TOO_LARGE', mapping: 'b-huge', limit: 'pairs', max: pairsMax });
  });

  it('names the mapping that crosses the limit of port intervals', () => {
    const everySecond = (from: number): string[] => [Array.from({ length: 32_000 }, (_, index) => String(from + index * 2)).join()];
    const services = Array.from({ length: 40 }, (_, index) => ({ ...service(index), name: `s${String(index).padStart(2, '0')}` }));
    const mappings = services.map(({ name }, index) =>
      mapping(`m${String(index).padStart(2, '0')}`, { destinations: [name], ports: everySecond(1 + index) }),
    );
    expect(refusal(document(services, mappings))).toEqual({
      code: 'POLICY_TOO_LARGE',
      mapping: 'm32',
      limit: 'portIntervals',
      max: portIntervalsMax,
    });
  });

  it('names the mapping that crosses the limit of prefixes', () => {
    const addresses = (second: number): string[] =>
      Array.from({ length: 65_536 }, (_, index) => `198.${String(second)}.${String(index >> 8)}.${String(index & 255)}`);
    const services = [18, 19, 20, 21, 22].map((second) => ({ name: `s${String(second)}`, addresses: addresses(second) }));
    const mappings = services.map(({ name }) => mapping(`to-${name}`, { destinations: [name] }));
    expect(refusal(document(services, mappings))).toMatchObject({ code: 'POLICY_TOO_LARGE', mapping: 'to-s22', limit: 'identities' });
  });

  it('gives up in bounded time where thousands of services overlap', { timeout: 60_000 }, () => {
    const hosts = Array.from({ length: 200 }, (_, index) => `198.18.0.${String(index)}`);
    const names = Array.from({ length: 2000 }, (_, index) => `s${String(index)}`);
    const mappings = names.map((name, index) =>
      mapping(`m${String(index)}`, { sources: [name], destinations: [name], ports: [String(index + 1)] }),
    );
    const alike = names.map((name) => ({ name, addresses: hosts }));
    expect(refusal(document(alike, mappings))).toMatchObject({ pairs: 1, sourceClasses: 1, portIntervals: 2002 });
    const random = new Random(5);
    const unlike = names.map((name) => ({ name, addresses: ['198.18.1.0/24', ...hosts.filter(() => random.chance(0.5))] }));
    expect(refusal(document(unlike, mappings))).toMatchObject({ code: 'POLICY_TOO_LARGE', limit: 'work' });
  });

  it('does not choke on what JavaScript objects call their own', () => {
    const services = ['constructor', 'toString', 'hasOwnProperty'].map((name) => ({ name, addresses: ['198.18.0.0/15'] }));
    const { image } = compilePolicy(
      parsePolicy(document(services, [mapping('valueOf', { sources: ['constructor'], destinations: ['toString'] })])),
    );
    expect(openImage(image).judge({ source: '198.18.0.1', destination: '198.19.0.1', protocol: 6, destinationPort: 1 })).toMatchObject({
      mapping: 'valueOf',
      sourceServices: ['constructor'],
    });
  });
});
