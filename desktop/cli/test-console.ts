/** The command line against a fake agent, with a throw-away fleet. Ships nowhere. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMemorySettings, createMemoryVault } from '../core/api.ts';
import type { ConsolePorts } from '../core/api.ts';
import { createVerdictProgram } from '../core/trace/verdict-program.ts';
import { openFleetCache } from '../core/cache/sqlite-fleet-cache.ts';
import { createFakeAgent } from '../grpc/fake-agent.ts';
import type { FakeAgent } from '../grpc/fake-agent.ts';
import { systemClock, systemRandom } from '../lib/api.ts';
import { runCommandLine } from './command-line.ts';

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly notes: string;
}

export interface TestConsole {
  readonly folder: string;
  readonly agent: FakeAgent;
  /** Runs `nest` with these arguments; `watch` sees each line as it is printed, `watchNotes` each note. */
  nest(args: readonly string[], watch?: (line: string) => void, watchNotes?: (note: string) => void): Promise<Answer>;
  addHost(extra: readonly string[]): Promise<Answer>;
  close(): Promise<void>;
}

/** `input`: what standard input holds; `ports`: what the console gets beside the usual. */
export const openTestConsole = async (input: string, ports: Partial<ConsolePorts> = {}): Promise<TestConsole> => {
  const folder = await mkdtemp(join(tmpdir(), 'nest-cli-'));
  await writeFile(join(folder, 'passphrase'), 'correct horse battery\n');
  const vault = createMemoryVault();
  const agent = await createFakeAgent();
  const nest: TestConsole['nest'] = async (args, watch = () => undefined, watchNotes = () => undefined) => {
    const out: string[] = [];
    const notes: string[] = [];
    const code = await runCommandLine({
      args: ['--data', folder, '--passphrase-file', join(folder, 'passphrase'), ...args],
      environment: {},
      platform: 'linux',
      version: '0.0.0',
      signal: AbortSignal.timeout(15_000),
      terminal: {
        out: (text) => {
          out.push(text);
          watch(text);
        },
        note: (text) => {
          notes.push(text);
          watchNotes(text);
        },
        isInteractive: false,
        ask: () => Promise.reject(new Error('nobody is there')),
        askSecret: () => Promise.reject(new Error('nobody is there')),
        keys: async function* () {},
        readInput: () => Promise.resolve(input),
      },
      openPorts: (data) => ({
        clock: systemClock(),
        random: systemRandom,
        cache: openFleetCache(join(data, 'fleet.sqlite'), Date.now()).cache,
        vaults: [vault],
        settings: createMemorySettings(),
        version: '0.0.0',
        report: () => undefined,
        verdictProgram: createVerdictProgram(),
        ...ports,
      }),
    });
    return { code, out: out.join('\n'), notes: notes.join('\n') };
  };
  return {
    folder,
    agent,
    nest,
    addHost: (extra) =>
      nest(['hosts', 'add', 'edge-1', '127.0.0.1', '--port', String(agent.port), ...extra], (line) => {
        const token = /nest1\.[\w-]+/.exec(line)?.[0];
        if (token !== undefined) agent.join(token);
      }),
    close: async () => {
      await agent.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
