/** Hostile inputs across the borders of a running fleet: refused with a code, nothing crashes, nothing is half applied. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodeOf, errorCodes } from '../../proto/model/error.ts';
import { agentArgv, agentBundle, nodePath } from '../lab/agent-config.ts';
import { tryCommand } from '../lab/command.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { grpcPort, metricsPort } from '../lab/topology.ts';
import { foreignIdentity, type ForeignIdentity } from '../support/foreign-identity.ts';
import { LabConsole } from '../support/lab-console.ts';
import { emptyPolicy, labMapping, labPolicy, watchingPolicy } from '../support/lab-policy.ts';
import { buildPacket } from '../support/packet.ts';

const lab = Lab.attach();
const host = hosts[0];
if (host === undefined) throw new Error('the lab has a first host');
const waitMs = 3000;

let console_: LabConsole;
let stranger: ForeignIdentity;
beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(watchingPolicy, [host]);
  stranger = await foreignIdentity();
});
afterAll(async () => {
  await console_.enforce(emptyPolicy, [host]);
  await console_[Symbol.asyncDispose]();
});

/** What must not change: the process, the policy in force, and that the health page answers. */
const condition = async (): Promise<object> => {
  const { revision, generation, etag } = await console_.handlers['policy.get']({ hostId: console_.hostId(host) }, console_.signal);
  const health = await fetch(`http://${host.managementAddress}:${metricsPort}/healthz`, { signal: AbortSignal.timeout(waitMs) });
  await health.arrayBuffer();
  return { pid: lab.agentProcess(host)?.pid, revision, generation, etag, health: health.status };
};

/** Runs every input and holds the agent's condition before and after equal. */
const unmoved = async (work: () => Promise<void>): Promise<void> => {
  const before = await condition();
  await work();
  expect(await condition()).toEqual(before);
};

describe('policy documents', () => {
  const mapping = labMapping('m', { action: 'deny' });
  const documents: Readonly<Record<string, string>> = {
    empty: '',
    'not JSON': '{"apiVersion":',
    'an array': '[]',
    'another version': JSON.stringify({ ...watchingPolicy, apiVersion: 'nest/v9' }),
    'an unknown key': JSON.stringify({ ...watchingPolicy, defaultActoin: 'deny' }),
    'an unknown service': JSON.stringify(labPolicy([{ ...mapping, sources: ['nobody'] }])),
    'an address that is none': JSON.stringify({ ...watchingPolicy, services: [{ name: 'x', addresses: ['198.18.0.0/33'] }] }),
    'ports of icmp': JSON.stringify(labPolicy([{ ...mapping, protocols: ['icmp'], ports: ['80'] }])),
    'a port range upside down': JSON.stringify(labPolicy([{ ...mapping, protocols: ['tcp'], ports: ['90-80'] }])),
    'two mappings of one name': JSON.stringify(labPolicy([mapping, mapping])),
    'a priority out of range': JSON.stringify(labPolicy([{ ...mapping, priority: 1001 }])),
    'a prototype as key': '{"__proto__":{"polluted":true},"apiVersion":"nest/v1","kind":"Policy"}',
    'too deep': '['.repeat(100_000),
    'too large': JSON.stringify(labPolicy([{ ...mapping, name: 'x'.repeat(3_500_000) }])),
  };

  it('are refused with a code and touch nothing', async () => {
    await unmoved(async () => {
      for (const [name, policy] of Object.entries(documents)) {
        const found = await console_.handlers['policy.plan']({ policy, hostIds: [console_.hostId(host)] }, console_.signal).then(
          ({ hosts: [row] }) => ({
            codes: [
              ...(row?.problem === null || row === undefined ? [] : [row.problem.code]),
              ...(row?.problems.filter(({ severity }) => severity === 'error').map(({ code }) => code) ?? []),
            ],
            canApply: row?.canApply,
          }),
          (error: unknown) => ({ codes: [errorCodeOf(error)], canApply: false }),
        );
        expect(found.codes, name).not.toEqual([]);
        expect(found.codes, name).not.toContain('INTERNAL');
        expect(found.canApply, name).toBe(false);
      }
    });
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('cannot be applied by a plan that was never made, or twice', async () => {
    await unmoved(async () => {
      await expect(
        console_.handlers['policy.apply']({ planId: 'no such plan', confirmWithinSeconds: 30 }, console_.signal),
      ).rejects.toMatchObject({ code: expect.stringMatching(/^(PLAN_EXPIRED|NOT_FOUND|PLAN_MISMATCH)$/) });
    });
  });
});

describe('configuration files', () => {
  const files: Readonly<Record<string, string>> = {
    empty: '',
    'not JSON': '{',
    'an array': '[]',
    'an unknown key': '{"stateDirr":"x"}',
    'a port out of range': '{"listen":{"port":70000}}',
    'a port as text': '{"listen":{"port":"50051"}}',
    'an address that is none': '{"listen":{"address":"nowhere at all"}}',
    'an unknown mode': '{"traffic":{"mode":"always"}}',
    'an unknown level': '{"log":{"level":"loud"}}',
    'interfaces as a number': '{"traffic":{"interfaces":7}}',
    'an interface name too long': '{"traffic":{"interfaces":["a-name-that-is-too-long"]}}',
    'a null': 'null',
  };

  it('are refused with a code and a line for the operator, and leave no state behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-hostile-'));
    try {
      for (const [name, text] of Object.entries(files)) {
        const path = join(folder, 'config.json');
        writeFileSync(path, text);
        const { code, stderr, stdout } = await tryCommand([nodePath, agentBundle, 'run', '--config', path], { timeoutMs: 10_000 });
        expect(code, `${name}: ${stdout}${stderr}`).toBeGreaterThan(0);
        expect(
          errorCodes.some((known) => `${stdout}${stderr}`.includes(known)),
          `${name} names a code: ${stdout}${stderr}`,
        ).toBe(true);
        expect(`${stdout}${stderr}`, name).not.toMatch(/\n\s+at /);
        expect(readdirSync(folder), name).toEqual(['config.json']);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('the gRPC port', () => {
  /** What came back until the connection closed or the time was over. */
  const talk = async (socket: Socket, bytes: Uint8Array): Promise<{ readonly answer: Buffer; readonly isClosed: boolean }> => {
    const chunks: Buffer[] = [];
    const { promise, resolve } = Promise.withResolvers<boolean>();
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', () => resolve(true)).once('close', () => resolve(true));
    socket.setTimeout(waitMs, () => resolve(false));
    socket.write(bytes);
    const isClosed = await promise;
    socket.destroy();
    return { answer: Buffer.concat(chunks), isClosed };
  };
  const target = { host: host.managementAddress, port: grpcPort };
  /** True when a request could be made over these credentials. */
  const isServed = async (options: ConnectionOptions): Promise<boolean> => {
    const session = connectHttp2(`https://${target.host}:${target.port}`, {
      createConnection: () => connectTls({ ...target, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...options }),
    });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    session.once('error', () => resolve(false)).once('close', () => resolve(false));
    session.setTimeout(waitMs, () => resolve(false));
    const request = session.request({
      ':method': 'POST',
      ':path': '/nest.v1.ConfigService/GetConfig',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '2S',
    });
    request.once('error', () => resolve(false));
    request.once('response', (headers) => resolve(headers[':status'] === 200 && (headers['grpc-status'] ?? '0') === '0'));
    request.end(Buffer.from([0, 0, 0, 0, 0]));
    const answer = await promise;
    session.destroy();
    return answer;
  };

  it('gives nothing to those who do not speak TLS', async () => {
    const speeches: Readonly<Record<string, Uint8Array>> = {
      'plain HTTP': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      'HTTP/2 without TLS': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      zeros: new Uint8Array(4096),
      noise: Uint8Array.from({ length: 4096 }, (_, index) => (index * 167) & 255),
      'a hello cut short': Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3),
      'a record of impossible length': Uint8Array.of(0x16, 3, 1, 0xff, 0xff, ...new Uint8Array(64)),
    };
    await unmoved(async () => {
      for (const [name, bytes] of Object.entries(speeches)) {
        const { answer } = await talk(connect(target), bytes);
        // At most a TLS alert (record type 21).
        expect(answer.length === 0 || answer[0] === 21, `${name} got ${answer.toString('hex', 0, 16)}`).toBe(true);
      }
    });
  });

  it('serves nobody without a certificate of this fleet', async () => {
    const credentials: Readonly<Record<string, ConnectionOptions>> = {
      'no certificate': {},
      'a certificate of another fleet': { cert: stranger.certificate, key: stranger.key },
      'a certificate that claims this fleet but is not signed by it': { cert: stranger.impostorCertificate, key: stranger.key },
      'TLS 1.1': { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', cert: stranger.certificate, key: stranger.key },
    };
    // The counter-proof that refusals below are the agent's: it shows its own certificate to anybody.
    const shown = connectTls({ ...target, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    shown.once('secureConnect', () => resolve(shown.getPeerCertificate().subjectaltname ?? '')).once('error', reject);
    expect(await promise).toContain('.agent.nest.internal');
    shown.destroy();
    await unmoved(async () => {
      for (const [name, options] of Object.entries(credentials)) expect(await isServed(options), name).toBe(false);
    });
  });

  it('takes no second enrolment and no token that is none', async () => {
    const tokens = [
      '',
      'nest1.',
      'nest1.AAAA',
      `nest1.${'A'.repeat(107)}`,
      `nest1.${'A'.repeat(5000)}`,
      '../../etc/passwd',
      'nest1.\u0000'.slice(0, 6),
    ];
    await unmoved(async () => {
      for (const token of tokens) {
        const { code, stdout, stderr } = await tryCommand([...agentArgv(host, ['join']), token], { timeoutMs: 15_000 });
        expect(code, `token '${token.slice(0, 20)}'`).toBeGreaterThan(0);
        expect(`${stdout}${stderr}`).not.toMatch(/\n\s+at /);
      }
    });
  });
});

describe('packets', () => {
  const whole = buildPacket({
    source: host.client4,
    destination: host.server4,
    transport: { kind: 'tcp', sourcePort: 40_000, destinationPort: 80, flags: 2 },
  });
  const whole6 = buildPacket({
    source: host.client6,
    destination: host.server6,
    transport: { kind: 'udp', sourcePort: 40_000, destinationPort: 53 },
  });

  it('cut at any length are judged or refused, by the trace of the running program', async () => {
    const trace = (packet: Uint8Array): Promise<string> =>
      console_.handlers['trace.run'](
        { hostId: console_.hostId(host), interface: 'lan0', packet: { hex: Buffer.from(packet).toString('hex') } },
        console_.signal,
      ).then(
        ({ reason }) => reason,
        (error: unknown) => errorCodeOf(error),
      );
    await unmoved(async () => {
      expect(await trace(whole)).toBe('POLICY_ALLOW');
      expect(await trace(whole6)).toBe('POLICY_ALLOW');
      for (const packet of [whole, whole6]) {
        for (let length = 0; length < packet.length; length += 3) {
          const answer = await trace(packet.subarray(0, length));
          expect(['PACKET_INVALID', 'INPUT_INVALID', 'TRUNCATED', 'MALFORMED'], `${length} bytes gave ${answer}`).toContain(answer);
        }
      }
    });
  });
});
