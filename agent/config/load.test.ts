import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NestError } from '../../proto/model/error.ts';
import { withoutComments } from './json-with-comments.ts';
import { loadConfig, parseConfig } from './load.ts';
import type { ConfigProblem, Environment } from './load.ts';
import { configTemplate } from './template.ts';

const parse = (document: unknown, environment: Environment = {}, verbosity = 0) => parseConfig(document, { environment, verbosity });

/** The problems of a configuration that must be refused. */
const problemsOf = (read: () => unknown): readonly ConfigProblem[] => {
  try {
    read();
  } catch (error) {
    if (error instanceof NestError && error.code === 'CONFIG_INVALID') return error.details['problems'] as readonly ConfigProblem[];
    throw error;
  }
  throw new Error('the configuration was taken');
};

describe('configuration', () => {
  it('fills every default and is frozen through and through', () => {
    const config = parse({ name: 'edge-1' });
    expect(config).toEqual({
      name: 'edge-1',
      stateDir: '/var/lib/nest-agent',
      listen: { enabled: true, address: '0.0.0.0', port: 50051 },
      reflection: false,
      metrics: { address: '127.0.0.1', port: 9090 },
      traffic: { mode: 'auto', interfaces: 'auto', pinPath: '/sys/fs/bpf/nest', denyListDir: '/etc/nest-agent/deny-lists', local: 'off' },
      log: { level: 'info', format: 'json' },
      export: { log: { authentication: true, netflow: true, debug: false }, periodicSeconds: 60 },
    });
    expect([config, config.listen, config.traffic].every(Object.isFrozen)).toBe(true);
  });

  it('has a template that is exactly the defaults', () => {
    expect(parse({ ...(JSON.parse(withoutComments(configTemplate)) as object), name: 'edge-1' })).toEqual(parse({ name: 'edge-1' }));
  });

  it('lets flags win over environment, and environment over the file', () => {
    const file = { listen: { port: 1 }, metrics: { port: 2 }, log: { level: 'warn' } };
    expect(parse(file, { GRPC_PORT: '4000', METRICS_PORT: '', GRPC_ENABLED: 'false' }, 3)).toMatchObject({
      listen: { port: 4000, enabled: false },
      metrics: { port: 2 },
      log: { level: 'debug' },
    });
  });

  it('fills what a collector needs, and takes one by name or by address of either family', () => {
    const config = parse({
      export: { cluster: 'edge', syslog: { host: 'logs.example.net', facility: 'local3' }, ipfix: { host: '2001:db8::5' } },
    });
    expect(config.export).toEqual({
      cluster: 'edge',
      syslog: { host: 'logs.example.net', port: 514, facility: 'local3' },
      ipfix: { host: '2001:db8::5', port: 4739, observationDomain: 1, templateSeconds: 60 },
      log: { authentication: true, netflow: true, debug: false },
      periodicSeconds: 60,
    });
  });

  it('names the nearest key of the same section', () => {
    expect(problemsOf(() => parse({ trafic: {}, listen: { prot: 1 }, log: { syslog: { address: '198.18.0.5', prt: 1 } } }))).toEqual([
      { path: 'listen.prot', message: 'is not a known key. Did you mean "port"?' },
      { path: 'log.syslog.prt', message: 'is not a known key. Did you mean "port"?' },
      { path: 'trafic', message: 'is not a known key. Did you mean "traffic"?' },
    ]);
  });

  it('lists the known keys when none is near', () => {
    expect(problemsOf(() => parse({ metrics: { somethingElseEntirely: 1 } }))[0]?.message).toBe(
      'is not a known key. Known keys: address, port.',
    );
  });

  it('tells every problem at once, also those of the environment', () => {
    const problems = problemsOf(() =>
      parse({ stateDir: 'state', listen: { port: 70_000 }, traffic: { mode: 'off' } }, { GRPC_PORT: 'ssh', GRPC_ENABLED: 'yes' }),
    );
    expect(problems.map(({ path }) => path).sort()).toEqual(['GRPC_ENABLED', 'GRPC_PORT', 'listen.port', 'stateDir', 'traffic.mode']);
  });

  it('names entry and field of every fault of a list', () => {
    const interfaces = [
      { name: 'lan0', engine: 'turbo' },
      'wan0',
      { engine: 'xdp', fallback: 1 },
      7,
      { name: 'lan1', engin: 'xdp' },
      'a b',
    ];
    const interfaceName = 'must be an interface name of 1 to 15 characters without spaces or "/"';
    expect(problemsOf(() => parse({ traffic: { interfaces } }))).toEqual([
      { path: 'traffic.interfaces[0].engine', message: '"turbo" is none of "auto", "xdp", "af_xdp", "dpdk", "off"' },
      { path: 'traffic.interfaces[2].name', message: interfaceName },
      { path: 'traffic.interfaces[2].fallback', message: '1 is none of "xdp", "pass"' },
      { path: 'traffic.interfaces[3]', message: 'must be an interface name, or { "name", "engine", "fallback" }' },
      { path: 'traffic.interfaces[4].engin', message: 'is not a known key. Did you mean "engine"?' },
      { path: 'traffic.interfaces[5]', message: interfaceName },
    ]);
    expect(problemsOf(() => parse({ traffic: { interfaces: 'all' } }))).toEqual([
      {
        path: 'traffic.interfaces',
        message: 'must be "auto" or a list of 1 to 64 interface names, or of { "name", "engine", "fallback" }',
      },
    ]);
  });

  it('says what a value of another kind must be, in words', () => {
    expect(problemsOf(() => parse({ traffic: { denyListDir: 5, pinPath: 'x' }, listen: 5, export: { cluster: 7 } }))).toEqual([
      { path: 'listen', message: 'must be a section, { ... }' },
      { path: 'traffic.pinPath', message: 'must be an absolute path' },
      { path: 'traffic.denyListDir', message: 'must be a path' },
      { path: 'export.cluster', message: 'must be a text in quotes' },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['a list', [], ''],
    ['a text', 'config', ''],
    ['null', null, ''],
    ['a section that is a number', { listen: 5 }, 'listen'],
    ['a port as text', { listen: { port: '50051' } }, 'listen.port'],
    ['a fractional port', { metrics: { port: 90.5 } }, 'metrics.port'],
    ['a host name for an address', { listen: { address: 'edge-1' } }, 'listen.address'],
    ['a relative state directory', { stateDir: '../state' }, 'stateDir'],
    ['a state directory with a zero byte', { stateDir: '/var/lib\0/x' }, 'stateDir'],
    ['a state directory too long for a socket', { stateDir: `/${'x'.repeat(100)}` }, 'stateDir'],
    ['a name with a line break', { name: 'edge\n1' }, 'name'],
    ['an interface name with a path', { traffic: { interfaces: ['../eth0'] } }, 'traffic.interfaces[0]'],
    ['an interface named twice', { traffic: { interfaces: ['lan0', 'lan0'] } }, 'traffic.interfaces'],
    ['a reflection switch as text', { reflection: 'true' }, 'reflection'],
    ['an interface named twice in two ways', { traffic: { interfaces: ['lan0', { name: 'lan0' }] } }, 'traffic.interfaces'],
    ['an unknown engine', { traffic: { interfaces: [{ name: 'lan0', engine: 'turbo' }] } }, 'traffic.interfaces[0].engine'],
    ['no interface', { traffic: { interfaces: [] } }, 'traffic.interfaces'],
    ['65 interfaces', { traffic: { interfaces: Array.from({ length: 65 }, (_, index) => `lan${index}`) } }, 'traffic.interfaces'],
    ['a prototype as a key', JSON.parse('{"__proto__": {"port": 1}}'), '__proto__'],
    ['a level that is none', { log: { level: 'verbose' } }, 'log.level'],
    ['a syslog without an address', { log: { syslog: {} } }, 'log.syslog.address'],
    ['a collector without a host', { export: { ipfix: {} } }, 'export.ipfix.host'],
    ['a collector with a host of blanks', { export: { syslog: { host: 'a b' } } }, 'export.syslog.host'],
    ['a collector on port 0', { export: { syslog: { host: '198.18.0.5', port: 0 } } }, 'export.syslog.port'],
    ['a facility that is none', { export: { syslog: { host: '198.18.0.5', facility: 'local8' } } }, 'export.syslog.facility'],
    [
      'a domain beyond 32 bits',
      { export: { ipfix: { host: '198.18.0.5', observationDomain: 2 ** 32 } } },
      'export.ipfix.observationDomain',
    ],
    ['templates never', { export: { ipfix: { host: '198.18.0.5', templateSeconds: 0 } } }, 'export.ipfix.templateSeconds'],
    ['a period shorter than the sweep allows', { export: { periodicSeconds: 9 } }, 'export.periodicSeconds'],
    ['a cluster with a quote', { export: { cluster: 'a"b' } }, 'export.cluster'],
    ['a switch that is none', { export: { log: { netflow: 'yes' } } }, 'export.log.netflow'],
  ])('refuses %s', (_what, document, path) => {
    expect(problemsOf(() => parse(document)).map((problem) => problem.path)).toContain(path);
  });
});

describe('configuration file', () => {
  const inFile = (content: string | Buffer, read: (path: string) => void): void => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-config-'));
    try {
      const path = join(folder, 'config.json');
      writeFileSync(path, content);
      read(path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const load = (file: string) => loadConfig({ file, environment: {}, verbosity: 0 });

  it('may hold comments, and keeps what looks like one inside a text', () => {
    expect(JSON.parse(withoutComments('{ "a": "http://x/*y*/", // "b": 1\n /* "c":\n 2 */ "d": "\\"//" }'))).toEqual({
      a: 'http://x/*y*/',
      d: '"//',
    });
  });

  it.each<[string, string | Buffer, RegExp]>([
    ['is cut off', '{ "name": "edge-1"', /is not JSON/],
    ['is empty', '', /is not JSON/],
    ['is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /is not JSON/],
    ['is endless', ' '.repeat((64 << 10) + 1), /at most 65536/],
    ['has a trailing comma', '{ "name": "edge-1", }', /is not JSON/],
  ])('is refused when it %s', (_what, content, message) => {
    inFile(content, (path) => expect(problemsOf(() => load(path))[0]?.message).toMatch(message));
  });

  it('is asked for when it is missing', () => {
    expect(problemsOf(() => load('/nonexistent/config.json'))[0]?.message).toContain('nest-agent init');
  });
});
