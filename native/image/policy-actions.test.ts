import { describe, expect, it } from 'vitest';

import { diffPolicies, parsePolicy, validatePolicy } from './api.ts';
import type { PolicyDenyList, PolicyDocument, PolicyMapping } from './api.ts';

const base: PolicyDocument = {
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [
    { name: 'edge', addresses: ['198.18.0.0/16', '2001:db8::/32'] },
    { name: 'web', addresses: ['198.19.4.80'] },
    { name: 'web6', addresses: ['2001:db8:4::80'] },
  ],
  mappings: [],
};

const allow: PolicyMapping = {
  name: 'web',
  sources: ['edge'],
  destinations: ['web'],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority: 1,
};
const backends = [
  { name: 'b', address: '198.19.9.2', port: 8443 },
  { name: 'a', address: '198.19.9.1', port: 8443, weight: 3, state: 'drain' },
];
const balance = { ...allow, action: 'balance', backends };

const policy = (mapping: object, fields: object = {}): unknown => ({ ...base, mappings: [mapping], ...fields });
const lists = (...denyLists: unknown[]): unknown => policy(allow, { denyLists });

const problemsOf = (input: unknown, severity: 'error' | 'warning'): string[] =>
  validatePolicy(input)
    .filter((problem) => problem.severity === severity && !['SERVICE_UNUSED'].includes(problem.code))
    .map(({ path, code, message }) => {
      expect(message, code).toMatch(/[.?]$/);
      return `${path.replace('mappings[0].', '')} ${code}`;
    });

describe('what a mapping does beyond allow and deny', () => {
  it('is filled in where defaults apply', () => {
    const checked = parsePolicy(policy({ ...balance, rateLimit: { packetsPerSecond: 10 }, healthCheck: { kind: 'http' } }));
    expect(checked.mappings[0]).toMatchObject({
      backends: [
        { name: 'b', weight: 1, state: 'up' },
        { name: 'a', weight: 3, state: 'drain' },
      ],
      rateLimit: { packetsPerSecond: 10, per: 'mapping' },
      healthCheck: { kind: 'http', rise: 2, fall: 3 },
    });
    expect(parsePolicy(base).denyLists).toEqual([]);
    expect(parsePolicy(JSON.parse(JSON.stringify(checked)))).toEqual(checked);
  });

  it.each<[string, unknown, string[]]>([
    ['balance without backends', policy({ ...allow, action: 'balance' }), ['backends BACKENDS_MISSING']],
    ['an empty list of backends', policy({ ...balance, backends: [] }), ['backends LIST_EMPTY']],
    [
      'what belongs to balance without it',
      policy({ ...allow, backends, affinity: 'source', nat: 'full', healthCheck: { kind: 'icmp' } }),
      ['backends NEEDS_BALANCE', 'affinity NEEDS_BALANCE', 'nat NEEDS_BALANCE', 'healthCheck NEEDS_BALANCE'],
    ],
    ['a default of balance', policy(allow, { defaultAction: 'balance' }), ['defaultAction VALUE_UNKNOWN']],
    ['an unknown key in a backend', policy({ ...balance, backends: [{ ...backends[0], prot: 1 }] }), ['backends[0] KEY_UNKNOWN']],
    [
      'two backends of one name',
      policy({ ...balance, backends: [backends[0], { ...backends[1], name: 'b' }] }),
      ['backends[1].name NAME_TAKEN'],
    ],
    [
      'two backends of one endpoint',
      policy({ ...balance, backends: [backends[0], { ...backends[0], name: 'c' }] }),
      ['backends[1] BACKEND_REPEATED'],
    ],
    [
      'a backend of a family that no destination has',
      policy({ ...balance, backends: [{ name: 'a', address: '2001:db8:9::1' }] }),
      ['backends[0].address BACKEND_FAMILY'],
    ],
    [
      'a backend that is the virtual address',
      policy({ ...balance, backends: [{ name: 'a', address: '198.19.4.80' }] }),
      ['backends[0].address BACKEND_IS_DESTINATION'],
    ],
    ...['198.19.9.0/24', 'web', '0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'].map((address): [string, unknown, string[]] => [
      `the backend ${address}`,
      policy({ ...balance, backends: [{ name: 'a', address }] }),
      ['backends[0].address BACKEND_ADDRESS_INVALID'],
    ]),
    ...['::', '::1', 'ff02::1', '::ffff:198.19.9.1'].map((address): [string, unknown, string[]] => [
      `the backend ${address}`,
      policy({ ...balance, destinations: ['web6'], backends: [{ name: 'a', address }] }),
      ['backends[0].address BACKEND_ADDRESS_INVALID'],
    ]),
    [
      'numbers out of range',
      policy({
        ...balance,
        backends: [
          { ...backends[0], weight: 1001, port: 0 },
          { ...backends[1], weight: -1, port: 1.5 },
        ],
      }),
      [
        'backends[0].port NUMBER_OUT_OF_RANGE',
        'backends[0].weight NUMBER_OUT_OF_RANGE',
        'backends[1].port NUMBER_OUT_OF_RANGE',
        'backends[1].weight NUMBER_OUT_OF_RANGE',
      ],
    ],
    ['an unknown state', policy({ ...balance, backends: [{ ...backends[0], state: 'off' }] }), ['backends[0].state VALUE_UNKNOWN']],
    [
      'icmp',
      policy({ ...balance, protocols: ['tcp', 'icmp'], ports: [], backends: [{ name: 'a', address: '198.19.9.1' }] }),
      ['protocols[1] BALANCE_PROTOCOL'],
    ],
    ['every protocol', policy({ ...balance, protocols: ['any'], ports: [] }), ['protocols[0] BALANCE_PROTOCOL']],
    ['direct return with another port', policy({ ...balance, nat: 'dsr' }), ['backends[0].port DSR_PORT', 'backends[1].port DSR_PORT']],
    [
      'direct return of several ports to one',
      policy({ ...balance, nat: 'dsr', ports: ['443', '8443'] }),
      ['backends[0].port DSR_PORT', 'backends[1].port DSR_PORT'],
    ],
    ['source NAT of its own', policy({ ...balance, sourceNat: 'masquerade' }), ['sourceNat SOURCE_NAT_WITH_BALANCE']],
    ['an unknown kind of NAT', policy({ ...balance, nat: 'snat' }), ['nat VALUE_UNKNOWN']],
    ['a path without http', policy({ ...balance, healthCheck: { kind: 'tcp', path: '/' } }), ['healthCheck.path PATH_WITHOUT_HTTP']],
    [
      'a path with a line break',
      policy({ ...balance, healthCheck: { kind: 'http', path: '/a\r\nx: y' } }),
      ['healthCheck.path PATH_INVALID'],
    ],
    [
      'a timeout over the interval',
      policy({ ...balance, healthCheck: { kind: 'tcp', intervalMs: 200, timeoutMs: 201 } }),
      ['healthCheck.timeoutMs TIMEOUT_TOO_LONG'],
    ],
    [
      'an interval that is too short',
      policy({ ...balance, healthCheck: { kind: 'tcp', intervalMs: 10, timeoutMs: 10 } }),
      ['healthCheck.intervalMs NUMBER_OUT_OF_RANGE'],
    ],
    [
      'a check of no port',
      policy({ ...balance, ports: [], backends: [backends[0], { name: 'c', address: '198.19.9.3' }], healthCheck: { kind: 'tcp' } }),
      ['healthCheck HEALTH_CHECK_PORT'],
    ],
    ['a limit of nothing', policy({ ...allow, rateLimit: { burst: 10 } }), ['rateLimit RATE_LIMIT_EMPTY']],
    ['a limit of zero', policy({ ...allow, rateLimit: { packetsPerSecond: 0 } }), ['rateLimit.packetsPerSecond NUMBER_OUT_OF_RANGE']],
    [
      'a burst of bytes below a packet',
      policy({ ...allow, rateLimit: { bytesPerSecond: 10, burst: 1513 } }),
      ['rateLimit.burst NUMBER_OUT_OF_RANGE'],
    ],
    [
      'a burst of too many packets',
      policy({ ...allow, rateLimit: { packetsPerSecond: 10, burst: 2e9 } }),
      ['rateLimit.burst NUMBER_OUT_OF_RANGE'],
    ],
    ['a limit per flow', policy({ ...allow, rateLimit: { packetsPerSecond: 10, per: 'flow' } }), ['rateLimit.per VALUE_UNKNOWN']],
    ['another class of service', policy({ ...allow, dscp: 'P4' }), ['dscp VALUE_UNKNOWN']],
    ['source NAT to a network', policy({ ...allow, sourceNat: '198.18.0.0/24' }), ['sourceNat SOURCE_NAT_INVALID']],
    ['source NAT to a family that never comes', policy({ ...allow, sourceNat: '2001:db8::1' }), ['sourceNat SOURCE_NAT_FAMILY']],
    ['a deny list of nothing', lists({ name: 'x' }), ['denyLists[0] DENY_LIST_SOURCE']],
    ['a deny list of two kinds', lists({ name: 'x', prefixes: [], file: 'x' }), ['denyLists[0] DENY_LIST_SOURCE']],
    ['deny lists of one name', lists({ name: 'x', file: 'x' }, { name: 'x', file: 'y' }), ['denyLists[1].name NAME_TAKEN']],
    [
      'bad prefixes in a deny list',
      lists({ name: 'x', prefixes: ['198.18.0.0/15', 'no', '198.18.0.1/15'] }),
      ['denyLists[0].prefixes[1] ADDRESS_INVALID', 'denyLists[0].prefixes[2] ADDRESS_HOST_BITS'],
    ],
    ...['../x', '/etc/passwd', '.hidden', '', 'a/b'].map((file): [string, unknown, string[]] => [
      `the file ${file}`,
      lists({ name: 'x', file }),
      ['denyLists[0].file FILE_INVALID'],
    ]),
    ...['tomorrow', '2030-02-30T00:00:00Z', '2030-01-01', '2030-01-01T24:00:00Z', '2030-01-01T00:00:00'].map(
      (expires): [string, unknown, string[]] => [
        `a list that expires ${expires}`,
        lists({ name: 'x', file: 'x', expires }),
        ['denyLists[0].expires EXPIRES_INVALID'],
      ],
    ),
  ])('is refused with %s', (_, input, expected) => {
    expect(problemsOf(input, 'error').sort()).toEqual([...expected].sort());
  });

  it.each<[string, unknown, string[]]>([
    ['nothing is odd', policy(balance), []],
    ['direct return keeps the only port', policy({ ...balance, nat: 'dsr', ports: ['8443'] }), []],
    [
      'its own address is a backend on another port',
      policy({ ...balance, backends: [{ name: 'a', address: '198.19.4.80', port: 8443 }] }),
      [],
    ],
    [
      'a mapping that denies has a limit',
      policy({ ...allow, action: 'deny', rateLimit: { packetsPerSecond: 1 }, dscp: 'P1' }),
      [' NOTHING_ALLOWED', 'rateLimit WITHOUT_EFFECT', 'dscp WITHOUT_EFFECT'],
    ],
    [
      'source NAT meets every protocol',
      policy({ ...allow, protocols: ['any'], ports: [], sourceNat: 'masquerade' }),
      ['protocols PROTOCOL_NOT_TRANSLATED'],
    ],
    ['it balances what goes anywhere', policy({ ...balance, destinations: ['any'] }), ['destinations BALANCES_ANY']],
    ['no backend takes flows', policy({ ...balance, backends: [{ ...backends[0], weight: 0 }, backends[1]] }), ['backends BACKENDS_IDLE']],
    ['a family has no backend', policy({ ...balance, destinations: ['web', 'web6'] }), ['backends FAMILY_WITHOUT_BACKEND']],
    ['many ports go to one', policy({ ...balance, ports: ['443', '9443'] }), ['backends[0].port PORTS_JOINED']],
    [
      'a prefix is there twice',
      lists({ name: 'x', prefixes: ['192.0.2.0/24', '192.0.2.0/24'] }),
      ['denyLists[0].prefixes[1] ENTRY_REPEATED'],
    ],
    ['a prefix is IPv4-mapped', lists({ name: 'x', prefixes: ['::ffff:192.0.2.1'] }), ['denyLists[0].prefixes[0] ADDRESS_MAPPED']],
    [
      'a check asks by TCP for servers of UDP',
      policy({ ...balance, protocols: ['udp'], healthCheck: { kind: 'http' } }),
      ['healthCheck.kind HEALTH_CHECK_PROTOCOL'],
    ],
    ['a deny list is empty', lists({ name: 'x', prefixes: [] }), ['denyLists[0].prefixes DENY_LIST_EMPTY']],
    ['a deny list is everything', lists({ name: 'x', prefixes: ['192.0.2.1', '::/0'] }), ['denyLists[0].prefixes[1] DENIES_EVERYTHING']],
  ])('is warned of when %s', (_, input, expected) => {
    expect(problemsOf(input, 'error')).toEqual([]);
    expect(problemsOf(input, 'warning')).toEqual(expected);
  });

  it('survives whatever stands in its place', () => {
    const odd = [null, 1, 'x', [], {}, [null], [[]], { kind: 1 }];
    for (const field of [
      'backends',
      'affinity',
      'nat',
      'healthCheck',
      'rateLimit',
      'dscp',
      'sourceNat',
      'protocols',
      'destinations',
      'ports',
    ])
      for (const value of odd)
        for (const action of ['allow', 'balance'])
          expect(() => validatePolicy(policy({ ...balance, action, [field]: value }))).not.toThrow();
    for (const value of odd) expect(() => validatePolicy(policy(allow, { denyLists: value }))).not.toThrow();
    for (const value of odd) expect(() => validatePolicy(lists(value))).not.toThrow();
  });

  it('shows in the difference of two policies, row by row', () => {
    const many = Array.from({ length: 30 }, (_, index) => `192.0.2.${String(index)}`);
    const before = {
      ...base,
      mappings: [{ ...balance, rateLimit: { packetsPerSecond: 5 } }],
      denyLists: [{ name: 'x', prefixes: many }] as PolicyDenyList[],
    };
    const after = {
      ...base,
      mappings: [
        {
          ...balance,
          nat: 'full',
          backends: [backends[1], { name: 'c', address: '2001:DB8:4::C', port: 80 }],
          destinations: ['web', 'web6'],
          healthCheck: { kind: 'http', path: '/up' },
          dscp: 'P0',
        },
      ],
      denyLists: [{ name: 'x', prefixes: [...many].reverse() }],
    };
    const diff = diffPolicies(parsePolicy(before), parsePolicy(after));
    expect(`\n${diff.lines.map(({ kind, text }) => `${{ same: ' ', added: '+', removed: '-' }[kind]} ${text}`).join('\n')}\n`).toBe(`
  mappings:
    - name: web
      sources: [edge]
-     destinations: [web]
+     destinations: [web, web6]
      protocols: [tcp]             ports: ["443"]
      action: balance              priority: 1
-     nat: dnat                    affinity: none
+     nat: full                    affinity: none
      backend a: 198.19.9.1:8443, weight 3, drain
-     backend b: 198.19.9.2:8443, weight 1, up
-     rateLimit: 5 packets/s, per mapping
+     backend c: [2001:db8:4::c]:80, weight 1, up
+     healthCheck: http /up every 1000 ms, timeout 500 ms, rise 2, fall 3
+     dscp: P0
`);
    expect(diff.mappings.changed[0]?.fields.map(({ field }) => field)).toEqual([
      'destinations',
      'nat',
      'backend b',
      'rateLimit',
      'backend c',
      'healthCheck',
      'dscp',
    ]);
    const other = diffPolicies(
      parsePolicy(before),
      parsePolicy({ ...before, denyLists: [{ name: 'x', prefixes: [...many.slice(0, 29), '192.0.2.200'] }] }),
    );
    expect(other.denyLists.changed).toHaveLength(1);
  });

  it('is said to be over when its deny list has ended, by the clock of who asks', () => {
    const input = lists({ name: 'x', prefixes: ['192.0.2.1'], expires: '2026-01-01T00:00:00Z' });
    const at = (text: string): string[] => validatePolicy(input, Date.parse(text)).map(({ path, code }) => `${path} ${code}`);
    expect(at('2025-12-31T23:59:59Z')).not.toContain('denyLists[0].expires DENY_LIST_EXPIRED');
    expect(at('2026-01-01T00:00:00Z')).toContain('denyLists[0].expires DENY_LIST_EXPIRED');
    expect(problemsOf(input, 'warning')).toEqual([]);
  });

  it.each(['fe80::1', '169.254.1.1'])('has no backend on one link alone: %s', (address) => {
    expect(problemsOf(policy({ ...balance, backends: [{ name: 'a', address }] }), 'error')).toContain(
      'backends[0].address BACKEND_ADDRESS_INVALID',
    );
  });
});
