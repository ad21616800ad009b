import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestFleet, testAgentId } from '../../agent/control/identity/test-fleet.ts';
import { enroll } from '../../agent/server/test-console.ts';
import { runCommandLine } from '../../agent/cli/command-line.ts';
import type { StatusAnswer } from '../../agent/cli/local-protocol.ts';
import { freePort } from '../support/free-port.ts';

const mainFile = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const fleetId = '01jz000000000000000000000a';

interface LogLine {
  readonly message: string;
  readonly [field: string]: unknown;
}

/** The agent as a process of its own; it only observes, so the test needs no rights and touches no interface. */
class AgentProcess {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  readonly exited: Promise<unknown[]>;
  readonly #waiting = new Set<() => void>();

  constructor(config: string) {
    this.child = spawn(process.execPath, [mainFile, 'run', '--config', config], { stdio: ['ignore', 'inherit', 'pipe'] });
    this.exited = once(this.child, 'exit');
    createInterface({ input: this.child.stderr ?? process.stdin }).on('line', (line) => {
      this.lines.push(line.startsWith('{') ? (JSON.parse(line) as LogLine) : { message: line });
      for (const look of this.#waiting) look();
    });
  }

  /** Resolves with the first line of this message. */
  async said(message: string): Promise<LogLine> {
    const found = Promise.withResolvers<LogLine>();
    const look = (): void => {
      const line = this.lines.find((candidate) => candidate.message === message);
      if (line !== undefined) found.resolve(line);
    };
    this.#waiting.add(look);
    look();
    const exit = this.exited.then(() => Promise.reject(new Error(`the agent ended: ${JSON.stringify(this.lines)}`)));
    return Promise.race([found.promise, exit]).finally(() => this.#waiting.delete(look));
  }

  async stop(): Promise<unknown> {
    if (this.child.exitCode === null) this.child.kill('SIGTERM');
    return (await this.exited)[0];
  }
}

describe('command line', () => {
  let folder: string;
  let config: string;
  let agents: AgentProcess[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-cli-'));
    config = join(folder, 'config.json');
    agents = [];
    const port = await freePort();
    await writeConfig({ listen: { address: '127.0.0.1', port: 0 }, metrics: { port } });
  });
  afterEach(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    await rm(folder, { recursive: true });
  });

  const writeConfig = (more: object): Promise<void> =>
    writeFile(
      config,
      JSON.stringify({
        name: 'edge-1',
        stateDir: join(folder, 'state'),
        traffic: { mode: 'observe', interfaces: ['lo'], pinPath: join(folder, 'pins') },
        ...more,
      }),
    );
  const start = async (): Promise<AgentProcess> => {
    const agent = new AgentProcess(config);
    agents.push(agent);
    await agent.said('agent started');
    return agent;
  };
  const run = async (...argv: string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> => {
    const [out, error] = [new Text(), new Text()];
    const code = await runCommandLine({ argv, environment: {}, stdout: out, stderr: error });
    return { code, out: out.text, error: error.text };
  };
  const status = async (): Promise<StatusAnswer> => JSON.parse((await run('status', '--json', '-c', config)).out) as StatusAnswer;

  it('opens the enrolment of the running agent, tells its state, and ends well on SIGTERM', async () => {
    const fleet = await createTestFleet(fleetId);
    const agent = await start();
    expect(await status()).toMatchObject({
      name: 'edge-1',
      agentId: null,
      grpc: { mode: 'closed', port: null },
      traffic: { mode: 'observe' },
      revision: 0,
      pending: null,
    });
    const token = fleet.token();
    const joined = await run('join', token.text, '--config', config);
    expect(joined).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^fingerprint: ([0-9a-f]{4} ){15}[0-9a-f]{4}\nEnrolment is open for \d+ min \d+ s on port \d+/) as string,
    });
    const port = (await status()).grpc.port ?? -1;
    expect(await enroll({ port, fleet, token, operator: await fleet.operator('ada') })).toBe(testAgentId);
    await agent.said('enrolled');
    expect(await status()).toMatchObject({ agentId: testAgentId, fleetId, enrollment: null, grpc: { mode: 'enrolled', port } });
    expect(await run('--healthcheck', '-c', config)).toMatchObject({ code: 0, out: expect.stringContaining('"status":"ok"') as string });
    expect((await stat(join(folder, 'state', 'agent.sock'))).mode & 0o777).toBe(0o600);
    expect(await agent.stop()).toBe(0);
    expect(JSON.stringify(agent.lines)).not.toContain(token.text);
  });

  it('has the last confirmed policy in force before it listens', async () => {
    const fleet = await createTestFleet(fleetId);
    const first = await start();
    const token = fleet.token();
    await run('join', token.text, '-c', config);
    await enroll({ port: (await status()).grpc.port ?? -1, fleet, token, operator: await fleet.operator('ada') });
    await first.stop();
    const second = await start();
    const order = second.lines.map(({ part, message }) => `${String(part)}: ${message}`);
    const policy = order.findIndex((line) => line.startsWith('revisions: '));
    expect(policy).toBeGreaterThanOrEqual(0);
    expect(order.indexOf('server: grpc is listening')).toBeGreaterThan(policy);
  });

  it('keeps the token for the next start when no agent runs', async () => {
    const fleet = await createTestFleet(fleetId);
    const token = fleet.token();
    expect(await run('join', token.text, '-c', config)).toMatchObject({
      code: 0,
      out: expect.stringContaining('No agent runs here. The token is kept') as string,
    });
    expect(await readFile(join(folder, 'state', 'identity', 'tokens.json'), 'utf8')).not.toContain(token.text.slice(30, 60));
    await start();
    expect(await enroll({ port: (await status()).grpc.port ?? -1, fleet, token, operator: await fleet.operator('ada') })).toBe(testAgentId);
    expect(await run('join', token.text, '-c', config)).toMatchObject({ code: 4, error: expect.stringContaining('TOKEN_USED') as string });
    expect(await run('join', fleet.token().text, '-c', config)).toMatchObject({
      code: 4,
      error: expect.stringContaining('ALREADY_ENROLLED') as string,
    });
  });

  it('leaves its fleet, with the agent running or not, and joins again with another key', async () => {
    const fleet = await createTestFleet(fleetId);
    expect(await run('leave', '--yes', '-c', config)).toMatchObject({ code: 4, error: expect.stringContaining('NOT_ENROLLED') as string });
    const agent = await start();
    const fingerprints: string[] = [];
    const join = async (): Promise<void> => {
      const token = fleet.token();
      expect((await run('join', token.text, '-c', config)).code).toBe(0);
      const { grpc, fingerprint } = await status();
      fingerprints.push(fingerprint);
      await enroll({ port: grpc.port ?? -1, fleet, token, operator: await fleet.operator('ada') });
    };
    await join();
    expect(await run('leave', '-c', config)).toMatchObject({ code: 2 });
    expect(await run('leave', '--yes', '-c', config)).toMatchObject({ code: 0, out: expect.stringContaining(fleetId) as string });
    expect(await status()).toMatchObject({ agentId: null, grpc: { mode: 'closed' } });
    await join();
    await agent.stop();
    expect((await run('leave', '--yes', '-c', config)).code).toBe(0);
    await start();
    expect(await status()).toMatchObject({ agentId: null });
    await join();
    expect(new Set(fingerprints).size).toBe(3);
  });

  it('refuses a second agent on the same state, and the first goes on', async () => {
    await start();
    const port = await freePort();
    await writeConfig({ listen: { address: '127.0.0.1', port: 0 }, metrics: { port } });
    const second = new AgentProcess(config);
    agents.push(second);
    expect((await second.exited)[0]).toBe(1);
    expect(second.lines.map(({ message }) => message).join('\n')).toContain('STATE_FAILED: Another agent runs with this state directory');
    expect(await status()).toMatchObject({ name: 'edge-1' });
  });

  it('starts again after a crash that left its socket', async () => {
    const first = await start();
    first.child.kill('SIGKILL');
    await first.exited;
    await start();
    expect((await status()).name).toBe('edge-1');
  });

  it('tells the difference between not running, misused and misconfigured', async () => {
    expect(await run('status', '-c', config)).toMatchObject({ code: 3, error: expect.stringContaining('HOST_UNREACHABLE') as string });
    expect(await run('--healthcheck', '-c', config)).toMatchObject({ code: 3 });
    expect(await run('join', 'nest1.short', '-c', config)).toMatchObject({
      code: 4,
      error: expect.stringContaining('TOKEN_INVALID') as string,
    });
    expect(await run('explode')).toMatchObject({ code: 2 });
    expect(await run('join')).toMatchObject({ code: 2 });
    expect(await run('run', '-c', join(folder, 'none.json'))).toMatchObject({
      code: 2,
      error: expect.stringContaining('CONFIG_INVALID') as string,
    });
    await writeFile(config, '{ "listenn": {} }');
    expect(await run('status', '-c', config)).toMatchObject({
      code: 2,
      error: expect.stringContaining('Did you mean "listen"?') as string,
    });
  });

  it('writes a configuration that it can read, and never over another', async () => {
    const path = join(folder, 'new', 'config.json');
    expect((await run('init', '-c', path)).code).toBe(0);
    expect(await run('status', '-c', path)).toMatchObject({ code: 3 });
    await writeFile(path, 'mine');
    expect((await run('init', '-c', path)).code).toBe(2);
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect((await run('init', '--force', '-c', path)).code).toBe(0);
    expect(await readFile(path, 'utf8')).toContain('"stateDir"');
  });

  it('prints version and help on standard output', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+/) as string, error: '' });
    expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Exit codes:') as string });
  });

  it('answers hostile lines on its local socket with a code and goes on', async () => {
    await start();
    const { askAgent } = await import('../../agent/cli/local-client.ts');
    const { statusAnswer } = await import('../../agent/cli/local-protocol.ts');
    const path = join(folder, 'state', 'agent.sock');
    for (const request of [
      { command: 'format' },
      { command: 'join', token: 'x'.repeat(70_000) },
      { command: 'status', more: 1 },
      'status',
      null,
    ]) {
      await expect(askAgent({ path, request: request as never, answer: statusAnswer }, AbortSignal.timeout(5000))).rejects.toMatchObject({
        code: 'INPUT_INVALID',
      });
    }
    expect((await status()).name).toBe('edge-1');
  });
});

class Text extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
