/**
 * The demo fleet of `npm start` and the tests: a real fleet with real agents, enrolled as an operator would, through the
 * console's own handlers. Only the operator's two manual steps are taken over: typing the token on the host, and
 * comparing the fingerprint it prints with the one the console shows.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod/mini';
import { NestError } from '../../proto/model/error.ts';
import type { BridgeHandlers } from '../bridge/contract.ts';
import { issueWords } from '../bridge/issue-words.ts';
import type { Enrollment } from '../bridge/model.ts';
import { throwIfCancelled } from '../lib/api.ts';

const text = z.string().check(z.minLength(1), z.maxLength(1024));
const manifestSchema = z.strictObject({
  fleetName: text.check(z.maxLength(63)),
  hosts: z
    .array(
      z.strictObject({
        name: text.check(z.maxLength(63)),
        address: text.check(z.maxLength(270)),
        port: z.int().check(z.minimum(1), z.maximum(65_535)),
        labels: z.optional(z.array(text.check(z.maxLength(63))).check(z.maxLength(16))),
        /** The command that hands a token to the host's agent; the token is added as its last argument. */
        join: z.array(text).check(z.minLength(1), z.maxLength(32)),
      }),
    )
    .check(z.minLength(1), z.maxLength(64)),
});

export type DemoManifest = z.output<typeof manifestSchema>;
type DemoHost = DemoManifest['hosts'][number];

/** Runs a command and returns what it printed. */
export type RunCommand = (argv: readonly string[], signal: AbortSignal) => Promise<string>;

/** Reads a manifest. Raises NOT_FOUND or CONFIG_INVALID. */
export const readDemoManifest = async (path: string): Promise<DemoManifest> => {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (cause) {
    throw new NestError('NOT_FOUND', 'The manifest of the demo fleet cannot be read. Start the lab first: npm run lab -- up.', { cause });
  }
  return parseDemoManifest(content);
};

/** Raises CONFIG_INVALID. */
export const parseDemoManifest = (content: string): DemoManifest => {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw new NestError('CONFIG_INVALID', 'The manifest of the demo fleet is not JSON.', { cause });
  }
  const parsed = manifestSchema.safeParse(value, { error: issueWords });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new NestError(
    'CONFIG_INVALID',
    `The manifest of the demo fleet is not valid at ${issue?.path.map(String).join('.') ?? 'its top'}: ${issue?.message ?? 'not accepted'}.`,
  );
};

export interface DemoOptions {
  readonly manifest: DemoManifest;
  readonly handlers: BridgeHandlers;
  /** Of a throw-away fleet: its data is removed with the process. */
  readonly passphrase: string;
  readonly runCommand: RunCommand;
  readonly signal: AbortSignal;
}

/** What became of each host, in the order of the manifest. */
export interface DemoOutcome {
  readonly name: string;
  readonly hostId: string | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
}

/**
 * Creates the fleet, then enrols all hosts at once. A host that fails is an outcome, not an error. Raises FLEET_EXISTS
 * when the data directory holds a fleet, CANCELLED on abort.
 */
export const createDemoFleet = async ({
  manifest,
  handlers,
  passphrase,
  runCommand,
  signal,
}: DemoOptions): Promise<readonly DemoOutcome[]> => {
  await handlers['fleet.create']({ fleetName: manifest.fleetName, operatorName: 'demo', storage: 'passphrase', passphrase }, signal);
  return await Promise.all(
    manifest.hosts.map(async (host): Promise<DemoOutcome> => {
      try {
        return { name: host.name, hostId: await enrol(host, handlers, { runCommand, signal }), problem: null };
      } catch (error) {
        if (!(error instanceof NestError) || error.code === 'CANCELLED') throw error;
        return { name: host.name, hostId: null, problem: { code: error.code, message: error.message } };
      }
    }),
  );
};

const enrol = async (
  host: DemoHost,
  handlers: BridgeHandlers,
  { runCommand, signal }: Pick<DemoOptions, 'runCommand' | 'signal'>,
): Promise<string> => {
  const { name, address, port, labels } = host;
  const begun = await handlers['enrollment.begin']({ name, address, port, ...(labels === undefined ? {} : { labels }) }, signal);
  if (begun.token === null) throw new NestError('TOKEN_USED', `The enrolment of ${name} has no token any more. Start the demo anew.`);
  const printed = fingerprintIn(await runCommand([...host.join, begun.token], signal));
  if (printed === undefined) throw new NestError('PROOF_INVALID', `The agent of ${name} printed no fingerprint. Look into its log.`);
  const shown = await waitFor(handlers, begun.enrollmentId, { signal, isReached: ({ state }) => state === 'fingerprint' });
  if (fingerprintIn(shown.fingerprint ?? '') !== printed) {
    await handlers['enrollment.cancel']({ enrollmentId: begun.enrollmentId }, signal);
    throw new NestError(
      'IDENTITY_MISMATCH',
      `What answers at ${address} is not the agent of ${name}: the fingerprints differ. Nothing was enrolled.`,
    );
  }
  await handlers['enrollment.approve']({ enrollmentId: begun.enrollmentId }, signal);
  const done = await waitFor(handlers, begun.enrollmentId, { signal, isReached: ({ state }) => state === 'enrolled' });
  if (done.hostId === null)
    throw new NestError('INTERNAL', `The enrolment of ${name} ended without an identity. Look into the log of the console.`);
  return done.hostId;
};

/** The 64 hexadecimal digits in a text, in groups or not; undefined when there are none. */
export const fingerprintIn = (printed: string): string | undefined =>
  [...printed.matchAll(/(?<![0-9a-z])[0-9a-f]{2,64}(?:[\s:-]{1,8}[0-9a-f]{2,64}){0,31}(?![0-9a-z])/gi)]
    .map(([run]) => run.replaceAll(/[\s:-]/g, '').toLowerCase())
    .find(({ length }) => length === 64);

const waitFor = async (
  handlers: BridgeHandlers,
  enrollmentId: string,
  { signal, isReached }: { readonly signal: AbortSignal; readonly isReached: (enrollment: Enrollment) => boolean },
): Promise<Enrollment> => {
  const stop = new AbortController();
  try {
    for await (const enrollment of handlers['enrollment.watch']({ enrollmentId }, AbortSignal.any([signal, stop.signal]))) {
      if (isReached(enrollment)) return enrollment;
      const { state, problem } = enrollment;
      if (state === 'failed' || state === 'cancelled' || state === 'expired')
        throw new NestError('ENROLLMENT_CLOSED', problem?.message ?? `The enrolment is ${state}. Start the demo anew.`);
    }
  } finally {
    stop.abort();
  }
  throw new NestError('CANCELLED', 'The call was cancelled.');
};

/** Runs a command of the manifest; nothing of it goes through a shell. Raises HOST_UNREACHABLE when it fails, CANCELLED on abort. */
export const runDemoCommand: RunCommand = async ([file = '', ...args], signal) => {
  try {
    const { stdout } = await promisify(execFile)(file, args, { signal, timeout: 30_000, maxBuffer: 1 << 20 });
    return stdout;
  } catch (cause) {
    throwIfCancelled(signal);
    const said =
      typeof cause === 'object' && cause !== null && 'stderr' in cause && typeof cause.stderr === 'string'
        ? cause.stderr.trim().split('\n').at(-1)
        : undefined;
    throw new NestError(
      'HOST_UNREACHABLE',
      `The agent did not take the token.${said === undefined || said === '' ? '' : ` It said: ${said}`}`,
      { cause },
    );
  }
};
