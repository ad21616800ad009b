/**
 * npm start as a user has it: the address is printed and answers, Ctrl-C leaves nothing, and after kill -9 of everything
 * but the fleet the next start cleans what was left.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { countsLine } from './counts.ts';
import { findLeftovers } from './leftovers.ts';
import { setup } from './setup.ts';
import { root } from './stamp.ts';

const readyMs = 60_000;
const endMs = 40_000;
const warmStartSecondsMax = 20;

interface Started {
  readonly process: ChildProcess;
  readonly address: string;
  readonly seconds: number;
  readonly hasCleaned: boolean;
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

/** Starts it as bootstrap does and waits for the whole fleet. Throws with its output when it does not come. */
const start = async (): Promise<Started> => {
  const began = performance.now();
  const child = spawn(process.execPath, [join(root, 'build/start.ts'), '--headless'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => lines.push(line));
  while (!lines.some((line) => line.includes('3 of 3 hosts enrolled'))) {
    if (hasEnded(child) || performance.now() - began > readyMs) {
      if (!hasEnded(child)) await stop(child);
      throw new Error(`npm start did not come up:\n${lines.join('\n')}`);
    }
    await sleep(50);
  }
  const address = lines.map((line) => /^Nest console: (\S+)/.exec(line)?.[1]).find((found) => found !== undefined) ?? '';
  return {
    process: child,
    address,
    seconds: (performance.now() - began) / 1000,
    hasCleaned: lines.some((line) => line.includes('cleaned after an earlier run')),
  };
};

const waitForEnd = async (child: ChildProcess): Promise<void> => {
  const began = performance.now();
  while (!hasEnded(child) && performance.now() - began < endMs) await sleep(50);
};
const stop = async (child: ChildProcess): Promise<void> => {
  child.kill('SIGINT');
  await waitForEnd(child);
};

/** The lab's own process below a start: its parent is that start. */
const childrenOf = (pid: number): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false; // ended while we looked
      }
    })
    .map(Number);

const counts = { passed: 0, failed: 0, skipped: 0 };
const check = (claim: string, isTrue: boolean, detail = ''): void => {
  counts[isTrue ? 'passed' : 'failed'] += 1;
  console.log(`${isTrue ? 'ok  ' : 'FAIL'} ${claim}${detail === '' ? '' : ` (${detail})`}`);
};
const settled = async (): Promise<readonly string[]> => {
  for (let attempt = 0; attempt < 200 && findLeftovers().length > 0; attempt += 1) await sleep(50);
  return findLeftovers();
};

const { mode, reason } = await setup('test');
if (mode === 'observe') {
  console.log(`SKIP start: ${reason}`);
  counts.skipped += 1;
} else {
  try {
    const first = await start();
    const answer = await fetch(first.address, { redirect: 'manual' });
    check('the printed address answers', answer.status < 400, `${answer.status}`);
    const labs = childrenOf(first.process.pid ?? 0);
    // The order matters: were the lab to see its owner die, it would clean up by itself.
    for (const pid of [...labs, first.process.pid ?? 0]) process.kill(pid, 'SIGKILL');
    await waitForEnd(first.process);
    check('kill -9 of the start and of the lab leaves the fleet running', findLeftovers().length > 0);
    const second = await start();
    check('the next start cleans it and comes up', second.hasCleaned);
    await stop(second.process);
    check('Ctrl-C ends it with code 0', second.process.exitCode === 0, `${second.process.exitCode ?? second.process.signalCode}`);
    const third = await start();
    check(`a warm start takes less than ${warmStartSecondsMax} s`, third.seconds < warmStartSecondsMax, `${third.seconds.toFixed(1)} s`);
    third.process.kill('SIGKILL');
    await waitForEnd(third.process);
    const left = await settled();
    check('after kill -9 of the start alone the fleet ends by itself', left.length === 0, left.join(', '));
  } catch (error) {
    check('npm start comes up', false, error instanceof Error ? error.message : String(error));
  }
}
console.log(countsLine(counts));
process.exit(counts.failed > 0 ? 1 : 0);
