/**
 * npm test: everything, in the order that fails soonest. A failing stage does not stop the others. The last line is the
 * sum of all stages; a stage that prints no counts of its own is one check.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildAll } from './build.ts';
import { endSignal } from './child.ts';
import { addCounts, countsLine, noCounts, parseCounts, parseFailure, type Counts } from './counts.ts';
import { findLeftovers } from './leftovers.ts';
import { setup } from './setup.ts';
import { root } from './stamp.ts';

interface Stage {
  readonly name: string;
  readonly argv: readonly string[];
}

const script = (name: string): readonly string[] => [process.execPath, join(root, 'build', name)];

const stages: readonly Stage[] = [
  { name: 'types', argv: script('types.ts') },
  { name: 'lint', argv: script('lint.ts') },
  { name: 'layers', argv: script('layers.ts') },
  { name: 'tidy', argv: script('tidy.ts') },
  { name: 'unit', argv: [...script('vitest-run.ts'), 'build/vitest.config.ts', '--project', 'unit'] },
  { name: 'pages', argv: [...script('vitest-run.ts'), 'build/vitest.config.ts', '--project', 'pages'] },
  { name: 'fleet', argv: [...script('vitest-run.ts'), 'test/fleet/vitest.config.ts'] },
  { name: 'native', argv: script('test-native.ts') },
  { name: 'bpf', argv: script('test-bpf.ts') },
  { name: 'differential', argv: [...script('test-differential.ts'), '--seconds', '45'] },
  { name: 'integration', argv: script('test-integration.ts') },
  { name: 'start', argv: script('test-start.ts') },
  { name: 'e2e', argv: script('test-e2e.ts') },
];
const killGraceMs = 60_000;
const leftoverWaitMs = 5000;
/** Failed tests that are named again at the end, by stage. */
const namedMax = 50;

interface Outcome {
  readonly name: string;
  readonly counts: Counts;
  /** Names of failed tests, each with what came next: the first line of its error. */
  readonly failures?: readonly string[];
  readonly seconds: number;
}

/** Runs a stage with its output shown. Never throws: what goes wrong is a failure of the stage. */
const runStage = async ({ name, argv }: Stage, end: AbortSignal): Promise<Outcome> => {
  console.log(`\n== ${name}`);
  const started = performance.now();
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd: root,
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FORCE_COLOR: '0' },
  });
  let stated: Counts | undefined;
  let skipLines = 0;
  const failures = new Map<string, string>();
  let unexplained: string | undefined;
  const { promise, resolve } = Promise.withResolvers<number>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      console.log(line);
      stated = parseCounts(line) ?? stated;
      if (line.startsWith('SKIP ')) skipLines += 1;
      const failure = parseFailure(line);
      if (unexplained !== undefined && failure === undefined) failures.set(unexplained, line.trim());
      if (failure !== undefined && failures.size < namedMax) failures.set(failure, '');
      unexplained = failure;
    });
  }
  child.once('error', (error) => {
    console.log(`${name} could not be started: ${error.message}`);
    resolve(1);
  });
  child.once('close', (code) => resolve(code ?? 1));
  const stop = (): void => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), killGraceMs).unref();
  };
  end.addEventListener('abort', stop, { once: true });
  const code = await promise;
  end.removeEventListener('abort', stop);
  const own = stated ?? { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: skipLines };
  // A stage that fails without a failed test (a crash, a broken hook) is still a failure.
  const counts = code !== 0 && own.failed === 0 ? { ...own, failed: 1 } : own;
  return { name, counts, failures: [...failures].map((lines) => lines.join('\n    ')), seconds: (performance.now() - started) / 1000 };
};

/** The kernel frees namespaces and links a moment after their last user. */
const checkLeftovers = async (): Promise<Outcome> => {
  console.log('\n== clean');
  const started = performance.now();
  let found = findLeftovers();
  while (found.length > 0 && performance.now() - started < leftoverWaitMs) {
    await sleep(100);
    found = findLeftovers();
  }
  for (const thing of found) console.log(`left behind: ${thing}`);
  if (found.length === 0) console.log('no namespace, link, pin, mount, folder or process is left');
  const counts = found.length === 0 ? { ...noCounts, passed: 1 } : { ...noCounts, failed: found.length };
  return { name: 'clean', counts, seconds: (performance.now() - started) / 1000 };
};

const main = async (): Promise<number> => {
  const { positionals } = parseArgs({ allowPositionals: true });
  const chosen = positionals.length === 0 ? stages : stages.filter(({ name }) => positionals.includes(name));
  if (chosen.length === 0) throw new Error(`There is no such stage. Stages: ${stages.map(({ name }) => name).join(', ')}.`);
  const end = endSignal();
  const outcomes: Outcome[] = [];
  console.log('== set-up and build');
  const started = performance.now();
  try {
    const { reason } = await setup('test');
    if (reason !== '') console.log(`  ${reason}`);
    await buildAll();
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    outcomes.push({ name: 'build', counts: { ...noCounts, failed: 1 }, seconds: (performance.now() - started) / 1000 });
  }
  for (const stage of chosen) {
    if (!end.aborted) outcomes.push(await runStage(stage, end));
  }
  outcomes.push(await checkLeftovers());
  console.log('');
  for (const { name, counts, seconds } of outcomes)
    console.log(`${name.padEnd(12)} ${countsLine(counts).padEnd(40)} ${seconds.toFixed(1).padStart(7)} s`);
  for (const { name, failures = [] } of outcomes) for (const failure of failures) console.log(`FAILED ${name}: ${failure}`);
  const total = outcomes.map(({ counts }) => counts).reduce(addCounts, noCounts);
  if (end.aborted) console.log('The run was ended early.');
  console.log(countsLine(total));
  return total.failed > 0 || end.aborted ? 1 : 0;
};

process.exit(await main());
