import { describe, expect, it } from 'vitest';

import { addressBytes } from '../../test/support/packet.ts';
import { randomAddress, randomPort } from '../../test/support/packet-random.ts';
import { Random, randomPolicy } from '../../test/support/random-policy.ts';
import { ReferencePolicy } from '../../test/support/reference-model-policy.ts';
import { parsePolicy, validatePolicy } from './api.ts';
import type { PolicyDocument } from './api.ts';

const base: PolicyDocument = {
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [
    { name: 'edge', addresses: ['198.18.0.0/16', '2001:db8::/32'] },
    { name: 'web', addresses: ['198.19.4.0/24'] },
  ],
  mappings: [
    {
      name: 'edge-to-web',
      sources: ['edge'],
      destinations: ['web'],
      protocols: ['tcp'],
      ports: ['443', '8000-8100', '53,853'],
      action: 'allow',
      priority: 100,
    },
  ],
};

/** The document with one value replaced; a path like "mappings.0.ports". */
const changed = (path: string, value: unknown): unknown => {
  const copy: unknown = structuredClone(base);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const target = keys.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], copy) as Record<string, unknown>;
  if (value === undefined) Reflect.deleteProperty(target, last);
  else target[last] = value;
  return copy;
};

const mapping = (fields: object): unknown => ({ ...base.mappings[0], ...fields });

const problemsOf = (input: unknown): unknown => {
  try {
    parsePolicy(input);
    return 'accepted';
  } catch (error) {
    expect(error).toMatchObject({ code: 'POLICY_INVALID' });
    return (error as { details: { problems: { path: string; code: string; message: string }[] } }).details.problems.map(
      ({ path, code }) => `${path} ${code}`,
    );
  }
};

describe('a policy document', () => {
  it('comes out checked, frozen and with its ports filled in', () => {
    const policy = parsePolicy(changed('mappings.0.ports', undefined));
    expect(policy.mappings[0]?.ports).toEqual([]);
    expect(Object.isFrozen(policy.mappings[0]?.sources)).toBe(true);
    expect(validatePolicy(base)).toEqual([]);
  });

  it.each<[string, unknown, string[]]>([
    ['null', null, [' TYPE_WRONG']],
    ['a text', '{}', [' TYPE_WRONG']],
    ['a list', [], [' TYPE_WRONG']],
    ['another version', changed('apiVersion', 'nest/v2'), ['apiVersion VALUE_UNKNOWN']],
    ['no default action', changed('defaultAction', undefined), ['defaultAction FIELD_MISSING']],
    ['an unknown key at the top', { ...base, mapings: [] }, [' KEY_UNKNOWN']],
    ['an unknown key in a mapping', changed('mappings.0.port', ['443']), ['mappings[0] KEY_UNKNOWN']],
    ['an unknown key in a service', changed('services.1.adresses', []), ['services[1] KEY_UNKNOWN']],
    ['its prototype as a key', JSON.parse(`{"__proto__":{"polluted":1},${JSON.stringify(base).slice(1)}`), [' KEY_UNKNOWN']],
    [
      'an empty service name',
      changed('services.1.name', ''),
      ['services[1].name NAME_INVALID', 'mappings[0].destinations[0] SERVICE_UNKNOWN'],
    ],
    ['a mapping name of 64 characters', changed('mappings.0.name', 'a'.repeat(64)), ['mappings[0].name NAME_INVALID']],
    ['a mapping name with markup', changed('mappings.0.name', '<img>'), ['mappings[0].name NAME_INVALID']],
    [
      'a service called any',
      changed('services.0.name', 'Any'),
      ['services[0].name NAME_RESERVED', 'mappings[0].sources[0] SERVICE_UNKNOWN'],
    ],
    [
      'two services of one name',
      changed('services.1.name', 'edge'),
      ['services[1].name NAME_TAKEN', 'mappings[0].destinations[0] SERVICE_UNKNOWN'],
    ],
    ['two mappings of one name', changed('mappings', [base.mappings[0], base.mappings[0]]), ['mappings[1].name NAME_TAKEN']],
    ['an unknown service', changed('mappings.0.sources', ['edgee']), ['mappings[0].sources[0] SERVICE_UNKNOWN']],
    ['a bad address', changed('services.0.addresses', ['198.18.0.0/16', '198.18.0.300']), ['services[0].addresses[1] ADDRESS_INVALID']],
    [
      'host bits',
      changed('services.0.addresses', ['198.18.7.0/16', '2001:db8::1/32']),
      ['services[0].addresses[0] ADDRESS_HOST_BITS', 'services[0].addresses[1] ADDRESS_HOST_BITS'],
    ],
    ['a service without addresses', changed('services.0.addresses', []), ['services[0].addresses LIST_EMPTY']],
    ['no sources', changed('mappings.0.sources', []), ['mappings[0].sources LIST_EMPTY']],
    ['no destinations', changed('mappings.0.destinations', []), ['mappings[0].destinations LIST_EMPTY']],
    ['no protocols', changed('mappings.0.protocols', []), ['mappings[0].protocols LIST_EMPTY']],
    ['an unknown protocol', changed('mappings.0.protocols', ['http']), ['mappings[0].protocols[0] VALUE_UNKNOWN']],
    ['icmp with ports', changed('mappings.0.protocols', ['tcp', 'icmp']), ['mappings[0].ports PORTS_WITH_ICMP']],
    [
      'bad ports',
      changed('mappings.0.ports', ['0', '65536', '80-', '', '80 ', '8e1', '1-2-3', '53,']),
      Array.from({ length: 8 }, (_, index) => `mappings[0].ports[${String(index)}] PORT_INVALID`),
    ],
    ['a range that runs backwards', changed('mappings.0.ports', ['90-80']), ['mappings[0].ports[0] PORT_RANGE_REVERSED']],
    ['a port as a number', changed('mappings.0.ports', [443]), ['mappings[0].ports[0] TYPE_WRONG']],
    ['a priority over 1000', changed('mappings.0.priority', 1001), ['mappings[0].priority PRIORITY_OUT_OF_RANGE']],
    ['a negative priority', changed('mappings.0.priority', -1), ['mappings[0].priority PRIORITY_OUT_OF_RANGE']],
    ['half a priority', changed('mappings.0.priority', 1.5), ['mappings[0].priority PRIORITY_OUT_OF_RANGE']],
    ['no priority', changed('mappings.0.priority', undefined), ['mappings[0].priority FIELD_MISSING']],
    ['a mapping that is null', changed('mappings', [null]), ['mappings[0] TYPE_WRONG']],
  ])('is refused with %s', (_, input, expected) => {
    expect(problemsOf(input)).toEqual(expected);
  });

  it('names the nearest known key, the right network and the nearest service', () => {
    const messages = validatePolicy({
      ...base,
      mapings: 1,
      services: [{ name: 'web', addresses: ['198.18.7.9/15'] }],
      mappings: [mapping({ sources: ['wep'], destinations: ['web'] })],
    }).map(({ message }) => message);
    expect(messages).toEqual([
      '198.18.7.9/15 has bits set behind its prefix length: write 198.18.0.0/15, or leave the length out for the address alone.',
      'Unknown key "mapings". Did you mean "mappings"?',
      'There is no service "wep". Did you mean "web"?',
    ]);
  });

  it('lists problems of different kinds together, and at most 100', () => {
    const mappings = Array.from({ length: 300 }, (_, index) => mapping({ name: `m${String(index)}`, sources: ['nobody'], ports: ['0'] }));
    const problems = problemsOf({ ...base, kind: 'Polizy', mappings }) as string[];
    expect(problems).toHaveLength(100);
    expect(problems[0]).toBe('kind VALUE_UNKNOWN');
  });

  it.each<[string, unknown, string[]]>([
    ['nothing is allowed', changed('mappings.0.action', 'deny'), [' NOTHING_ALLOWED']],
    ['a service is unused', changed('mappings.0.sources', ['any']), ['services[0] SERVICE_UNUSED']],
    ['ports say every port', changed('mappings.0.ports', ['1-100', '101-65535']), ['mappings[0].ports PORTS_EVERY']],
    [
      'an address is there twice',
      changed('services.1.addresses', ['198.19.4.1', '198.19.4.1/32']),
      ['services[1].addresses[1] ENTRY_REPEATED'],
    ],
    ['an address is IPv4-mapped', changed('services.1.addresses', ['::ffff:198.19.4.1']), ['services[1].addresses[0] ADDRESS_MAPPED']],
    ['a source is there twice', changed('mappings.0.sources', ['edge', 'edge']), ['mappings[0].sources ENTRY_REPEATED']],
    ['any has company', changed('mappings.0.sources', ['edge', 'any']), ['mappings[0].sources ANY_REDUNDANT']],
    [
      'everything is allowed',
      changed('mappings', [
        ...base.mappings,
        mapping({ name: 'open', sources: ['any'], destinations: ['any'], protocols: ['any'], ports: [], priority: 1 }),
      ]),
      ['mappings[1] ALLOWS_EVERYTHING'],
    ],
    [
      'a wider mapping with more priority covers one',
      changed('mappings', [...base.mappings, mapping({ name: 'z', sources: ['any'], ports: ['1-9000'], priority: 101 })]),
      ['services[0] SERVICE_UNUSED', 'mappings[0] MAPPING_SHADOWED'].slice(1),
    ],
    [
      'a deny at the same priority covers one',
      changed('mappings', [...base.mappings, mapping({ name: 'z', protocols: ['any'], ports: [], action: 'deny' })]),
      ['mappings[0] MAPPING_SHADOWED'],
    ],
    ['an equal one comes first by name', changed('mappings', [...base.mappings, mapping({ name: 'a' })]), ['mappings[0] MAPPING_SHADOWED']],
  ])('is warned of when %s', (_, input, expected) => {
    expect(validatePolicy(input).map(({ path, code, severity }) => `${path} ${code}${severity === 'warning' ? '' : ' ERROR'}`)).toEqual(
      expected,
    );
  });

  it.each<[string, object]>([
    ['less priority', { priority: 99, sources: ['any'] }],
    ['fewer ports', { priority: 200, ports: ['443', '8000-8099', '53,853'] }],
    ['fewer protocols', { priority: 200, protocols: ['udp'] }],
    ['other sources', { priority: 200, sources: ['web'] }],
    ['other destinations', { priority: 200, destinations: ['edge'] }],
  ])('is not warned of a shadow when the other mapping has %s', (_, fields) => {
    const warnings = validatePolicy(changed('mappings', [...base.mappings, mapping({ name: 'z', ...fields })]));
    expect(warnings.filter(({ code }) => code === 'MAPPING_SHADOWED')).toEqual([]);
  });

  it('calls only mappings shadowed that never win', () => {
    let shadows = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Random(seed);
      const document = randomPolicy(random, { services: 4, mappings: 30 });
      const shadowed = validatePolicy(document)
        .filter(({ code }) => code === 'MAPPING_SHADOWED')
        .map(({ path }) => document.mappings[Number(/[0-9]+/.exec(path)?.[0])]?.name);
      shadows += shadowed.length;
      const reference = new ReferencePolicy(document);
      for (let count = 0; count < 400; count++) {
        const isIpv4 = random.chance(0.6);
        const address = (): Uint8Array => addressBytes(randomAddress(random, document, isIpv4));
        const { mapping } = reference.judge({
          source: address(),
          destination: address(),
          protocol: random.pick([6, 17, 1, 58, 47]),
          destinationPort: randomPort(random),
        });
        expect(mapping === undefined || !shadowed.includes(mapping), `seed ${String(seed)}`).toBe(true);
      }
    }
    expect(shadows).toBeGreaterThan(20);
  });
});
