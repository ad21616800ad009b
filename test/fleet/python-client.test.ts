/** The agent's wire judged by a client that shares no code with ours: Debian's python3-grpcio. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foreignIdentity } from '../support/foreign-identity.ts';
import { Simulator } from '../simulator/simulator.ts';

const root = join(import.meta.dirname, '../..');
/** Debian's own, whatever else calls itself so on this machine. */
const python = '/usr/bin/python3';
const isThere = spawnSync(python, ['-c', 'import grpc, google.protobuf']).status === 0;
if (!isThere) console.log('SKIP python client: grpcio is not installed (apt-get install python3-grpcio python3-protobuf)');

interface Answers {
  readonly hello?: { readonly agent_id: string; readonly fleet_id: string; readonly subject: string };
  readonly host?: { readonly host_name: string; readonly interfaces: readonly string[] };
  readonly statuses?: readonly number[];
  readonly error?: { readonly status: string; readonly details: string };
}

/** All protos with their imports, as buf compiles them. */
const descriptors = (): string => {
  const { status, stdout, stderr } = spawnSync(
    join(root, 'node_modules/.bin/buf'),
    ['build', 'proto', '--as-file-descriptor-set', '-o', '-'],
    {
      cwd: root,
      maxBuffer: 16 << 20,
    },
  );
  if (status !== 0) throw new Error(`buf did not compile the protos: ${stderr.toString()}`);
  return stdout.toString('hex');
};

describe.skipIf(!isThere || process.platform !== 'linux')('a Python client', { timeout: 60_000 }, () => {
  let simulator: Simulator;

  beforeAll(async () => {
    simulator = await Simulator.up({ agents: 1 });
  }, 60_000);
  afterAll(() => simulator[Symbol.asyncDispose]());

  const ask = (credentials: { readonly certificate: string; readonly key: string }): Promise<Answers> => {
    const [agent] = simulator.agents;
    if (agent === undefined) throw new Error('There is no agent.');
    const orders = {
      descriptors: descriptors(),
      address: `${agent.address}:${agent.port}`,
      server_name: `${agent.agentId.toLowerCase()}.agent.nest.internal`,
      root: simulator.keys.root.certificate,
      ...credentials,
    };
    return new Promise((resolve, reject) => {
      const child = execFile(python, [join(import.meta.dirname, 'python_client.py')], { timeout: 40_000 }, (error, stdout) => {
        if (error === null) resolve(JSON.parse(stdout) as Answers);
        else reject(error);
      });
      child.stdin?.end(JSON.stringify(orders));
    });
  };

  it('with an operator certificate is greeted, reads the host, follows statuses and hears codes', async () => {
    const { certificate, privateKey } = simulator.keys.operator;
    const answers = await ask({ certificate, key: privateKey });
    expect(answers.hello).toEqual({
      agent_id: simulator.agents[0]?.agentId,
      fleet_id: simulator.keys.fleetId,
      subject: `spiffe://${simulator.keys.fleetId}/operator/demo`,
    });
    expect(answers.host).toEqual({ host_name: 'host-00001', interfaces: ['lan0', 'wan0', 'mgmt0'] });
    expect(answers.statuses).toEqual([1, 2]);
    expect(answers.error?.status).toBe('FAILED_PRECONDITION');
  });

  it('with a certificate of nobody of this fleet is refused before any service', async () => {
    const { certificate, key } = await foreignIdentity();
    const answers = await ask({ certificate, key });
    expect(answers.hello).toBeUndefined();
    expect(answers.error?.status).toBe('UNAUTHENTICATED');
  });
});
