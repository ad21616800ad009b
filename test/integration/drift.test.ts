/** What somebody does to the kernel behind the agent's back is found and put right: real programs and tables, in namespaces. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bench, missing } from '../../native/test/support/fastpathd.ts';
import { ethernet, ipv4, udp } from '../../native/test/support/packets.ts';
import { become, NamespaceAgent } from './namespace-agent.ts';

const reason = missing('af_xdp');
const script = fileURLToPath(new URL('detach.py', import.meta.url));
const policy = JSON.stringify({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'allow',
  services: [{ name: 'clients', addresses: ['198.18.1.0/24'] }],
  mappings: [
    { name: 'no-dns', sources: ['clients'], destinations: ['any'], protocols: ['udp'], ports: ['53'], action: 'deny', priority: 1 },
  ],
});
const query = ethernet(0x0800, ipv4({ from: '198.18.1.2', to: '198.18.2.2', protocol: 17, payload: udp({ to: 53, payload: 30 }) }));

let bench: Bench;
let agent: NamespaceAgent | null = null;

beforeEach((context) => {
  if (reason !== '') context.skip(reason);
  bench = new Bench();
});
afterEach(async () => {
  if (reason !== '') return;
  await agent?.end('SIGKILL');
  await bench[Symbol.asyncDispose]();
});

const found = async (): Promise<readonly { readonly resource: string; readonly canHeal: boolean }[]> =>
  ((await agent?.ask({ kind: 'inspect' })) ?? []) as readonly { readonly resource: string; readonly canHeal: boolean }[];
const behindTheBack = (kind: 'detach' | 'entry', ...path: string[]): void =>
  void execFileSync('nsenter', [`--net=/run/netns/${bench.dut}`, 'python3', script, kind, join(bench.bpffs, 'nest', ...path)]);
const denied = async (): Promise<number> => (await agent?.packets())?.['no-dns'] ?? 0;

describe('drift of the kernel', { timeout: 60_000 }, () => {
  it('is found when a program is detached or a table loses an entry, and packets are judged again once it is healed', async () => {
    agent = await new NamespaceAgent(bench).ready();
    await agent.ask({ kind: 'activate', policy });
    expect(await found()).toEqual([]);
    await bench.generate(query, 10, 1_000);
    await become('denied packets', async () => (await denied()) === 10);

    behindTheBack('detach', 'links', 'a1');
    await bench.generate(query, 10, 1_000);
    expect(await found()).toMatchObject([{ resource: 'interface a1', canHeal: true }]);
    expect(await denied()).toBe(10);
    await agent.ask({ kind: 'heal', resources: ['interface a1'] });
    expect(await found()).toEqual([]);
    await bench.generate(query, 10, 1_000);
    await become('denied packets again', async () => (await denied()) === 20);

    behindTheBack('entry', 'maps', 'nest_pairs');
    expect(await found()).toMatchObject([{ resource: 'tables', canHeal: true }]);
    await bench.generate(query, 10, 1_000);
    expect(await denied()).toBe(20);
    await agent.ask({ kind: 'heal', resources: ['tables'] });
    expect(await found()).toEqual([]);
    await bench.generate(query, 10, 1_000);
    await become('denied packets after the tables are whole', async () => (await denied()) === 30);
  });
});
