import { describe, expect, it } from 'vitest';
import { NestError } from '../../proto/model/error.ts';
import { createFakeHandlers, createFakeWatch } from '../bridge/fake-core.ts';
import type { Enrollment } from '../bridge/model.ts';
import { createDemoFleet, fingerprintIn, parseDemoManifest, runDemoCommand } from './demo.ts';

const fingerprint = 'ab12'.repeat(16);
const manifest = parseDemoManifest(
  JSON.stringify({
    fleetName: 'Demo fleet',
    hosts: [{ name: 'edge-1', address: '198.18.240.6', port: 50051, labels: ['lab'], join: ['agent', 'join'] }],
  }),
);
const enrollment = (state: Enrollment['state'], extra: Partial<Enrollment> = {}): Enrollment => ({
  enrollmentId: 'e1',
  name: 'edge-1',
  address: '198.18.240.6',
  port: 50051,
  labels: ['lab'],
  state,
  token: null,
  joinCommand: null,
  expiresAt: 0,
  fingerprint: null,
  facts: null,
  hostId: null,
  problem: null,
  attempts: 0,
  ...extra,
});

const play = async (
  shownFingerprint: string,
  printed: string,
): Promise<{ readonly steps: readonly string[]; readonly outcome: Awaited<ReturnType<typeof createDemoFleet>> }> => {
  const steps: string[] = [];
  const watch = createFakeWatch(enrollment('waiting'));
  const outcome = await createDemoFleet({
    manifest,
    passphrase: 'a passphrase of the test',
    signal: new AbortController().signal,
    runCommand: (argv) => {
      steps.push(argv.join(' '));
      watch.put(enrollment('fingerprint', { fingerprint: shownFingerprint }));
      return Promise.resolve(printed);
    },
    handlers: createFakeHandlers({
      'fleet.create': ({ fleetName, storage }) => {
        steps.push(`create ${fleetName} ${storage}`);
        return Promise.resolve({
          phase: 'open',
          fleetName,
          fleetId: 'f',
          operatorName: 'demo',
          storage,
          keychain: { available: false, reason: '' },
          version: '0',
          hostCount: 0,
          operatorCertificateEndsAt: null,
        });
      },
      'enrollment.begin': ({ name, address, port }) => {
        steps.push(`begin ${name} ${address} ${port}`);
        return Promise.resolve(enrollment('waiting', { token: 'TOKEN' }));
      },
      'enrollment.watch': (_input, signal) => watch.watch(signal),
      'enrollment.approve': () => {
        steps.push('approve');
        watch.put(enrollment('enrolled', { hostId: '01JZ0000000000000000000000' }));
        return Promise.resolve(enrollment('signing'));
      },
      'enrollment.cancel': () => {
        steps.push('cancel');
        return Promise.resolve(enrollment('cancelled'));
      },
    }),
  });
  return { steps, outcome };
};

describe('the demo fleet', () => {
  it('hands the token to the agent and approves when both show one fingerprint', async () => {
    const grouped = (fingerprint.match(/.{8}/g) ?? []).join(' ');
    const { steps, outcome } = await play(fingerprint, `Enrolment is open for 10 minutes.\nKey fingerprint (SHA-256):\n  ${grouped}\n`);
    expect(steps).toEqual(['create Demo fleet passphrase', 'begin edge-1 198.18.240.6 50051', 'agent join TOKEN', 'approve']);
    expect(outcome).toEqual([{ name: 'edge-1', hostId: '01JZ0000000000000000000000', problem: null }]);
  });

  it('never approves an agent whose fingerprint differs, and says so', async () => {
    const { steps, outcome } = await play(fingerprint, 'cd34'.repeat(16));
    expect(steps.slice(-1)).toEqual(['cancel']);
    expect(outcome).toMatchObject([{ name: 'edge-1', hostId: null, problem: { code: 'IDENTITY_MISMATCH' } }]);
  });

  it.each([
    [fingerprint, fingerprint],
    [`sha256 ${fingerprint.toUpperCase()}.`, fingerprint],
    [`Fingerprint: ${(fingerprint.match(/../g) ?? []).join(':')}\n`, fingerprint],
    ['no digits at all', undefined],
    [fingerprint.slice(1), undefined],
    [`${fingerprint}00`, undefined],
  ])('reads the fingerprint in %j', (printed, expected) => {
    expect(fingerprintIn(printed)).toBe(expected);
  });

  it.each([
    '',
    '[]',
    '{"fleetName":"a","hosts":[]}',
    '{"fleetName":"a","hosts":[{"name":"a","address":"a","port":0,"join":["a"]}]}',
    '{"fleetName":"a","hosts":[{"name":"a","address":"a","port":1,"join":"rm -rf"}]}',
    '{"fleetName":"a","hosts":[],"x":1}',
  ])('refuses the manifest %j', (content) => {
    expect(() => parseDemoManifest(content)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }) as Error);
  });

  it('runs a command without a shell, and reports the last line it complained with', async () => {
    const { signal } = new AbortController();
    expect(await runDemoCommand([process.execPath, '-p', '"$HOME;" + process.argv[1]', '$(id)'], signal)).toBe('$HOME;$(id)\n');
    const failed = runDemoCommand(
      [process.execPath, '-e', 'console.error("first"); console.error("token expired"); process.exit(3)'],
      signal,
    );
    await expect(failed).rejects.toMatchObject({ code: 'HOST_UNREACHABLE', message: expect.stringContaining('token expired') });
    await expect(failed).rejects.toBeInstanceOf(NestError);
    const stop = new AbortController();
    const stopped = runDemoCommand([process.execPath, '-e', 'setInterval(() => {}, 1000)'], stop.signal);
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
