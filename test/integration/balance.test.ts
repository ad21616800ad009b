/**
 * A virtual address over three real servers: shares, a server that is killed, one that is drained, and no request that
 * fails. Requests come from a real client through the host's data path, each on a connection of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackendRow } from '../../desktop/bridge/model.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { nodePath } from '../lab/agent-config.ts';
import { serverPorts, webServers } from '../lab/topology.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';
import { labPolicy, watchingPolicy } from '../support/lab-policy.ts';

const lab = Lab.attach();
const host = hosts[0];
if (host === undefined) throw new Error('the lab has a first host');

type State = 'up' | 'drain' | 'down';
type Weights = readonly [number, number, number];
const equal: Weights = [1, 1, 1];

/** The shop's address, over both families, balanced over the lab's web servers. */
const shop = (states: readonly State[], weights: Weights = equal): ReturnType<typeof labPolicy> => {
  const policy = labPolicy([
    {
      name: 'shop',
      sources: ['any'],
      destinations: ['shop'],
      protocols: ['tcp', 'udp'],
      ports: [String(serverPorts.http)],
      action: 'balance',
      priority: 700,
      backends: [host.web4, host.web6].flatMap((addresses, family) =>
        addresses.map((address, index) => ({
          name: `${webServers[index] ?? ''}-v${family === 0 ? 4 : 6}`,
          address,
          port: serverPorts.web,
          weight: weights[index] ?? 1,
          state: states[index] ?? 'up',
        })),
      ),
      healthCheck: { kind: 'tcp', intervalMs: 200, timeoutMs: 150, rise: 1, fall: 1 },
    },
  ]);
  return { ...policy, services: [...policy.services, { name: 'shop', addresses: [host.virtual4, host.virtual6] }] };
};

interface Answers {
  readonly byServer: Readonly<Record<string, number>>;
  /** After one more try. */
  readonly failed: number;
  readonly retried: number;
  readonly errors: readonly string[];
}

/** Requests on fresh connections from the client's side; at most `concurrency` at a time. */
const request = async (address: string, count: number, concurrency = 8): Promise<Answers> => {
  const script = `
    import { get } from 'node:http';
    const [address, count, concurrency] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
    const host = address.includes(':') ? '[' + address + ']' : address;
    const byServer = {}; const errors = []; let failed = 0; let retried = 0; let left = count;
    const once = () => new Promise((resolve, reject) => {
      const call = get('http://' + host + '/', { agent: false, timeout: 5000 }, (response) => {
        const name = response.headers['x-served-by'] ?? 'nobody';
        response.resume();
        response.once('end', () => { byServer[name] = (byServer[name] ?? 0) + 1; resolve(); });
        response.once('error', reject);
      });
      call.once('timeout', () => call.destroy(new Error('timeout')));
      call.once('error', reject);
    });
    // As curl --retry 1 --retry-all-errors: a server that dies takes what it was answering with it.
    const one = async () => {
      try { await once(); } catch {
        retried++;
        await new Promise((resolve) => setTimeout(resolve, 1000));
        try { await once(); } catch (error) { failed++; if (errors.length < 5) errors.push(String(error.code ?? error.message)); }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, async () => { while (left-- > 0) await one(); }));
    console.log(JSON.stringify({ byServer, failed, retried, errors }));`;
  const { stdout, code, stderr } = await lab.exec(
    'client',
    [nodePath, '--input-type=module', '-e', script, '--', address, String(count), String(concurrency)],
    { timeoutMs: 120_000 },
  );
  if (code !== 0) throw new Error(`the client failed: ${stderr}`);
  return JSON.parse(stdout) as Answers;
};

const backends = async (console_: LabConsole): Promise<readonly BackendRow[]> => {
  const { balancers } = await console_.handlers['host.balancers']({ hostId: console_.hostId(host) }, console_.signal);
  return balancers.find(({ mapping }) => mapping === 'shop')?.backends ?? [];
};
const backend = async (console_: LabConsole, name: string): Promise<BackendRow> => {
  const found = (await backends(console_)).find((row) => row.name === name);
  if (found === undefined) throw new Error(`there is no backend ${name}`);
  return found;
};

let console_: LabConsole;
beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(shop(['up', 'up', 'up']), [host]);
  await eventually('health of all backends', 10_000, async () =>
    (await backends(console_)).every(({ health }) => health === 'up') ? true : undefined,
  );
});
afterAll(async () => {
  for (const name of webServers) lab.startWebServer(name);
  await console_.enforce(watchingPolicy, [host]);
  await console_[Symbol.asyncDispose]();
});

const shareOf = ({ byServer }: Answers, name: string): number => {
  const total = Object.values(byServer).reduce((sum, count) => sum + count, 0);
  return (byServer[name] ?? 0) / total;
};

describe('a virtual address over three servers', () => {
  it('shares connections by weight, and counts them by backend', async () => {
    const before = new Map((await backends(console_)).map(({ name, flows }) => [name, flows]));
    for (const address of [host.virtual4, host.virtual6]) {
      const answers = await request(address, 900);
      expect(answers).toMatchObject({ failed: 0, retried: 0, errors: [] });
      for (const name of webServers) expect(shareOf(answers, name), `${name} of ${JSON.stringify(answers.byServer)}`).toBeCloseTo(1 / 3, 1);
      const family = address === host.virtual4 ? 'v4' : 'v6';
      for (const name of webServers) {
        const { flows, packets } = await backend(console_, `${name}-${family}`);
        expect(flows - (before.get(`${name}-${family}`) ?? 0)).toBe(answers.byServer[name]);
        expect(packets).toBeGreaterThan(flows);
      }
    }
    await console_.enforce(shop(['up', 'up', 'up'], [2, 1, 1]), [host]);
    const weighted = await request(host.virtual4, 1200);
    expect(weighted.failed).toBe(0);
    expect(shareOf(weighted, 'web-1'), JSON.stringify(weighted.byServer)).toBeCloseTo(0.5, 1);
  });

  it('answers UDP from the virtual address', async () => {
    const script = `
      import { createSocket } from 'node:dgram';
      const socket = createSocket('udp4');
      socket.on('message', (message, from) => { console.log(message.toString() + ' from ' + from.address + ':' + from.port); socket.close(); });
      socket.send('hello', ${String(serverPorts.http)}, process.argv[1]);
      setTimeout(() => process.exit(1), 3000).unref();`;
    const { stdout } = await lab.exec('client', [nodePath, '--input-type=module', '-e', script, '--', host.virtual4]);
    expect(stdout).toMatch(new RegExp(`^web-\\d: hello from ${host.virtual4.replaceAll('.', '\\.')}:${String(serverPorts.http)}\\n$`));
  });

  it('loses no request while a server is killed and another one drained', async () => {
    await console_.enforce(shop(['up', 'up', 'up']), [host]);
    const running = request(host.virtual4, 10_000, 6);
    await sleep(700);
    await lab.stopWebServer('web-2');
    await eventually('the health check', 5000, async () => ((await backend(console_, 'web-2-v4')).effective === 'down' ? true : undefined));
    await console_.enforce(shop(['up', 'up', 'drain']), [host]);
    const answers = await running;
    console.log(`10,000 requests: ${JSON.stringify(answers)}`);
    expect(answers).toMatchObject({ failed: 0, errors: [] });
    // What was under way on the killed server, and what came to it before the check saw it: a fraction of a second.
    expect(answers.retried).toBeLessThan(500);
    expect(Object.values(answers.byServer).reduce((sum, count) => sum + count, 0)).toBe(10_000);
    const after = await request(host.virtual4, 300);
    expect(after).toEqual({ byServer: { 'web-1': 300 }, failed: 0, retried: 0, errors: [] });
    expect(await backend(console_, 'web-2-v4')).toMatchObject({ wanted: 'up', effective: 'down', health: 'down' });
    expect(await backend(console_, 'web-3-v4')).toMatchObject({ wanted: 'drain', effective: 'drain', health: 'up' });
  });

  it('takes a server back when it answers again', async () => {
    lab.startWebServer('web-2');
    await eventually('the health check', 5000, async () => ((await backend(console_, 'web-2-v4')).effective === 'up' ? true : undefined));
    const answers = await request(host.virtual4, 300);
    expect(answers.failed).toBe(0);
    expect(shareOf(answers, 'web-2')).toBeGreaterThan(0.3);
  });

  it('drops what no backend can take, with its own reason', async () => {
    await console_.enforce(shop(['down', 'down', 'down']), [host]);
    const dropped = async (): Promise<number> => {
      const { reasons } = await console_.handlers['host.counters']({ hostId: console_.hostId(host) }, console_.signal);
      return reasons.find(({ reason }) => reason === 'NO_BACKEND')?.packets ?? 0;
    };
    const before = await dropped();
    const { code } = await lab.exec('client', ['curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${host.virtual4}/`]);
    expect(code).toBe(28);
    expect(await dropped()).toBeGreaterThan(before);
  });
});
