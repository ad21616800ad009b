import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parsePolicy } from '../../../native/image/api.ts';
import { importMarchProxy } from './api.ts';

const run = (file: object) => importMarchProxy(JSON.stringify(file));

/** Notes about one entry, as codes. */
const codesOf = (result: ReturnType<typeof importMarchProxy>, name: string): string[] =>
  result.notes.filter((note) => note.name === name).map(({ code }) => code);

const services = [
  { id: 1, name: 'shop-web', ip_fqdn: '198.18.4.10', port: 8080, protocol: 'http', collection: 'shop' },
  { id: 2, name: 'shop-db', ip_fqdn: '2001:db8:4::20', port: 5432, protocol: 'tcp' },
  { id: 3, name: 'shop-mail', ip_fqdn: 'mail.shop.example', port: 25, protocol: 'tcp' },
];

describe('importing a MarchProxy file', () => {
  it('reads the import file with names, listen_port and path_prefix, and says what it cannot express', () => {
    const result = run({
      services: [
        {
          ...services[0],
          auth_type: 'jwt',
          tls_enabled: true,
          health_check_enabled: true,
          health_check_path: '/healthz',
          health_check_interval: 30,
        },
        { ...services[1], auth_type: 'none', tls_enabled: false },
        services[2],
      ],
      mappings: [
        {
          name: 'public',
          description: 'the shop',
          source_services: ['external'],
          dest_services: ['shop-web'],
          listen_port: 443,
          protocol: 'https',
          path_prefix: '/api',
        },
        {
          name: 'web-to-db',
          source_services: ['shop-web'],
          dest_services: ['shop-db'],
          listen_port: 5432,
          protocol: 'tcp',
          path_prefix: '/',
        },
        { name: 'web-to-mail', source_services: ['shop-web'], dest_services: ['shop-mail'], listen_port: 25, protocol: 'tcp' },
      ],
      metadata: { app_name: 'shop', generated_by: 'hand', version: '1.0.0' },
    });
    expect(result.shapes).toEqual(['import-file']);
    expect(result.policy).toEqual({
      apiVersion: 'nest/v1',
      kind: 'Policy',
      defaultAction: 'deny',
      services: [
        { name: 'shop-web', addresses: ['198.18.4.10'] },
        { name: 'shop-db', addresses: ['2001:db8:4::20'] },
      ],
      mappings: [
        {
          name: 'public',
          sources: ['any'],
          destinations: ['shop-web'],
          protocols: ['tcp'],
          ports: ['443', '8080'],
          action: 'allow',
          priority: 100,
        },
        {
          name: 'web-to-db',
          sources: ['shop-web'],
          destinations: ['shop-db'],
          protocols: ['tcp'],
          ports: ['5432'],
          action: 'allow',
          priority: 100,
        },
      ],
    });
    expect(codesOf(result, '')).toEqual(['DEFAULT_DENY']);
    expect(codesOf(result, 'shop-web')).toEqual([
      'AUTH_NOT_EXPRESSIBLE',
      'TLS_NOT_EXPRESSIBLE',
      'HEALTH_CHECK_NOT_EXPRESSIBLE',
      'FIELDS_NOT_KEPT',
    ]);
    expect(codesOf(result, 'shop-db')).toEqual([]);
    expect(codesOf(result, 'shop-mail')).toEqual(['ADDRESS_IS_NAME']);
    expect(codesOf(result, 'public')).toEqual([
      'PROTOCOL_REDUCED',
      'PORT_TRANSLATION_NOT_EXPRESSIBLE',
      'PATH_NOT_EXPRESSIBLE',
      'FIELDS_NOT_KEPT',
    ]);
    expect(codesOf(result, 'web-to-db')).toEqual([]);
    expect(codesOf(result, 'web-to-mail')).toEqual(['SERVICE_LEFT_OUT', 'MAPPING_LEFT_OUT']);
  });

  it('reads the server shape: texts of ids and ports, or "all"', () => {
    const result = run({
      services,
      mappings: [
        {
          id: 7,
          name: 'everyone',
          source_services: 'all',
          dest_services: '1,2',
          protocols: 'tcp,udp',
          ports: '80,443,8000-8100',
          auth_required: false,
          priority: 10,
        },
        {
          id: 8,
          name: 'guarded',
          source_services: '1',
          dest_services: '2',
          protocols: 'tcp',
          ports: '5432',
          auth_required: true,
          priority: 20,
        },
      ],
    });
    expect(result.shapes).toEqual(['server']);
    expect(result.policy.mappings).toEqual([
      {
        name: 'everyone',
        sources: ['any'],
        destinations: ['shop-web', 'shop-db'],
        protocols: ['tcp', 'udp'],
        ports: ['80', '443', '8000-8100'],
        action: 'allow',
        priority: 10,
      },
      {
        name: 'guarded',
        sources: ['shop-web'],
        destinations: ['shop-db'],
        protocols: ['tcp'],
        ports: ['5432'],
        action: 'allow',
        priority: 20,
      },
    ]);
    expect(codesOf(result, 'everyone')).toEqual([]);
    expect(codesOf(result, 'guarded')).toEqual(['AUTH_NOT_EXPRESSIBLE']);
  });

  it('reads the legacy shape: JSON lists of ids and ports, also inside texts, with limits, approval and expiry', () => {
    const legacy = {
      source_services: [1],
      dest_services: '[2]',
      protocols: ['tcp'],
      ports: [5432, '6000-6010', { start: 7000, end: 7010 }],
      priority: 5000,
    };
    const result = run({
      services,
      mappings: [
        {
          ...legacy,
          name: 'limited',
          rate_limit: 100,
          timeout: 30,
          justification: 'because',
          approval_status: 'approved',
          expires_at: '2030-01-01T00:00:00Z',
        },
        { ...legacy, name: 'waiting', approval_status: 'pending' },
        { ...legacy, name: 'switched-off', is_active: false },
      ],
    });
    expect(result.shapes).toEqual(['legacy']);
    expect(result.policy.mappings).toEqual([
      {
        name: 'limited',
        sources: ['shop-web'],
        destinations: ['shop-db'],
        protocols: ['tcp'],
        ports: ['5432', '6000-6010', '7000-7010'],
        action: 'allow',
        priority: 1000,
      },
    ]);
    expect(codesOf(result, 'limited')).toEqual([
      'RATE_LIMIT_NOT_EXPRESSIBLE',
      'TIMEOUT_NOT_EXPRESSIBLE',
      'EXPIRY_NOT_EXPRESSIBLE',
      'FIELDS_NOT_KEPT',
      'PRIORITY_CHANGED',
    ]);
    expect(codesOf(result, 'waiting')).toEqual(['NOT_APPROVED']);
    expect(codesOf(result, 'switched-off')).toEqual(['NOT_ENABLED']);
  });

  it('reads the client shape: ids and a single port text', () => {
    const result = run({
      services,
      mappings: [{ name: 'one', source_services: [2], dest_services: [1], protocols: ['tcp', 'icmp'], port: '8080' }],
    });
    expect(result.shapes).toEqual(['client']);
    expect(result.policy.mappings.map(({ name, protocols, ports }) => ({ name, protocols, ports }))).toEqual([
      { name: 'one', protocols: ['tcp'], ports: ['8080'] },
      { name: 'one-icmp', protocols: ['icmp'], ports: [] },
    ]);
    expect(codesOf(result, 'one')).toEqual(['MAPPING_SPLIT']);
  });

  it('gives names that a policy accepts, once each, and says so', () => {
    const address = { ip_fqdn: '198.18.0.1' };
    const result = run({
      services: [{ name: 'any', ...address }, { name: 'a b', ...address }, { name: 'a  b', ...address }, { ...address }],
      mappings: [{ name: 'x', source_services: ['a b'], dest_services: ['a  b'], protocol: 'carrier-pigeon' }],
    });
    expect(result.policy.services.map(({ name }) => name)).toEqual(['any-1', 'a-b', 'a-b-2', 'services-3-']);
    expect(codesOf(result, 'a b')).toEqual(['NAME_CHANGED']);
    expect(codesOf(result, 'x')).toEqual(['PROTOCOL_UNKNOWN', 'EVERY_PORT', 'MAPPING_LEFT_OUT']);
  });

  it('does not widen a mapping whose ports or services it cannot read', () => {
    const mapping = { source_services: ['shop-web'], dest_services: ['shop-db'], protocol: 'tcp', listen_port: 80 };
    const result = run({
      services,
      mappings: [
        { ...mapping, name: 'bad-port', listen_port: undefined, ports: ['http', '90-80'] },
        { ...mapping, name: 'bad-source', source_services: ['nobody'] },
        { ...mapping, name: 'no-destination', dest_services: [] },
      ],
    });
    expect(result.policy.mappings).toEqual([]);
    expect(codesOf(result, 'bad-port')).toEqual(['PORT_INVALID', 'PORT_INVALID', 'MAPPING_LEFT_OUT']);
    expect(codesOf(result, 'bad-source')).toEqual(['SERVICE_UNKNOWN', 'PORT_TRANSLATION_NOT_EXPRESSIBLE', 'MAPPING_LEFT_OUT']);
    expect(codesOf(result, 'no-destination')).toEqual(['MAPPING_LEFT_OUT']);
  });

  it.each([
    ['nothing', ''],
    ['half a file', '{"services":['],
    ['null', 'null'],
    ['a list', '[]'],
    ['a file without mappings', '{"services":[]}'],
    ['services that are no list', '{"services":{},"mappings":[]}'],
    ['too many mappings', JSON.stringify({ services: [], mappings: Array.from({ length: 16_385 }, () => 0) })],
    ['four megabytes', JSON.stringify({ services: [], mappings: [], metadata: 'x'.repeat(4 << 20) })],
    ['lists inside the prototype', '{"__proto__":{"services":[],"mappings":[]}}'],
    ['XML', '<services/>'],
  ])('refuses %s', (_, text) => {
    expect(() => importMarchProxy(text)).toThrow(expect.objectContaining({ code: 'IMPORT_INVALID' }));
  });

  it('turns any entries into a policy that the compiler accepts', () => {
    const value = fc.oneof(
      fc.constantFrom<unknown>('shop-web', 'all', '1', '[1,2]', '[', 443, '80-90', 'tcp', 'icmp', 'any', null, true, ''),
      fc.jsonValue({ maxDepth: 2 }),
    );
    const keys = [
      'name',
      'id',
      'ip_fqdn',
      'port',
      'source_services',
      'dest_services',
      'protocols',
      'protocol',
      'ports',
      'listen_port',
      'priority',
      'status',
    ];
    const entry = fc.oneof(fc.dictionary(fc.constantFrom(...keys), value), value);
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), fc.array(entry, { maxLength: 6 }), (more, mappings) => {
        const { policy } = run({ services: [...services, ...more], mappings });
        expect(parsePolicy(policy).kind).toBe('Policy');
      }),
      { numRuns: 500 },
    );
  });
});
