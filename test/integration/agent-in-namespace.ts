/**
 * The traffic domain over the real data path and the real nest-fastpathd, started inside a network namespace by the test: one
 * JSON command a line on standard input, one answer a line on standard output.
 */
import { execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createFastpath } from '../../agent/engine/fastpath/fastpath.ts';
import { createFastpathHost } from '../../agent/engine/fastpath/host.ts';
import { createEngine } from '../../agent/engine/engine.ts';
import type { EngineName } from '../../agent/domains/traffic/api.ts';
import type { NetworkInterface } from '../../agent/domains/traffic/network-interfaces.ts';
import { createExporter } from '../../agent/domains/traffic/export/exporter.ts';
import { createTraffic } from '../../agent/domains/traffic/traffic.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';

export interface Setup {
  readonly stateDir: string;
  readonly pinPath: string;
  readonly interfaces: readonly string[];
  readonly fallback: 'xdp' | 'pass';
  readonly fastpathFolder: string | null;
  /** Of a collector in this namespace; null: nothing is exported. */
  readonly ipfixPort: number | null;
}

/** The namespace's own: /sys shows those of the namespace it was mounted in. */
const listInterfaces = async (): Promise<readonly NetworkInterface[]> =>
  (
    JSON.parse(execFileSync('ip', ['-json', 'link'], { encoding: 'utf8' })) as readonly {
      readonly ifindex: number;
      readonly ifname: string;
      readonly flags: readonly string[];
    }[]
  ).map(({ ifindex, ifname, flags }) => ({
    name: ifname,
    index: ifindex,
    isUp: flags.includes('UP'),
    isLoopback: flags.includes('LOOPBACK'),
    isVlan: false,
  }));

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const signal = new AbortController().signal;
const logged: string[] = [];
const log = {
  ...silentLogger,
  warn: (message: string, fields?: unknown): void => void logged.push(`${message} ${JSON.stringify(fields)}`),
  error: (message: string, fields?: unknown): void => void logged.push(`${message} ${JSON.stringify(fields)}`),
};
const warnings = new Map<string, string>();
const host = createFastpathHost({ processors: 2, ...(setup.fastpathFolder === null ? {} : { folder: setup.fastpathFolder }) });
const { stateDir, pinPath, interfaces } = setup;
const fallbacks = new Map(interfaces.map((name) => [name, setup.fallback]));
const exporter =
  setup.ipfixPort === null
    ? null
    : createExporter({
        config: {
          ipfix: { host: '127.0.0.1', port: setup.ipfixPort, observationDomain: 5, templateSeconds: 60 },
          log: { authentication: false, netflow: true, debug: false },
          periodicSeconds: 60,
        },
        hostName: 'dut',
        clock: systemClock,
        log,
      });
const traffic = createTraffic({
  ...(exporter === null ? {} : { exporter }),
  mode: 'enforce',
  interfaces,
  stateDir,
  denyListDir: stateDir,
  engine: createEngine({ mode: 'enforce', pinPath }),
  fastpath: createFastpath({ host, folder: stateDir, pinPath, fallbacks, clock: systemClock, log }),
  clock: systemClock,
  log,
  raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
  listInterfaces,
});

type Command =
  | { readonly kind: 'activate'; readonly policy: string }
  | { readonly kind: 'engine'; readonly name: string; readonly engine: EngineName }
  | { readonly kind: 'trace'; readonly interface: string; readonly packet: string }
  | { readonly kind: 'heal'; readonly resources: readonly string[] }
  | { readonly kind: 'inspect' | 'status' | 'counters' | 'flows' | 'balancers' | 'close' };

const answer = async (command: Command): Promise<unknown> => {
  switch (command.kind) {
    case 'activate':
      return await traffic.activate(command.policy, signal);
    case 'engine':
      return await traffic.setInterfaceEngine(command.name, command.engine);
    case 'trace':
      return await traffic.trace({ interface: command.interface, packet: Buffer.from(command.packet, 'hex') }, signal);
    case 'status':
      return { ...traffic.status(), warnings: Object.fromEntries(warnings), logged };
    case 'inspect':
      return await traffic.inspect();
    case 'heal':
      await traffic.heal(command.resources);
      return {};
    case 'counters':
      return traffic.counters();
    case 'flows':
      return await traffic.flows({ filter: {}, limit: 100, windowSeconds: 0 }, signal);
    case 'balancers':
      return traffic.balancers();
    case 'close':
      await traffic.close();
      await exporter?.close();
      return {};
    default:
      throw new Error('there is no such command');
  }
};

/** Big numbers are small here. */
const tell = (value: unknown): void =>
  console.log(JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? Number(field) : field)));

await traffic.start(signal);
tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    tell({ value: await answer(JSON.parse(line) as Command) });
  } catch (error) {
    tell({ error: String(error) });
  }
}
