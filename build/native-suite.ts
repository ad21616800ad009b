/**
 * Runs a vitest suite that needs root, the addon and packet interfaces, inside namespaces of its own: v0 here, v1 in the
 * peer, and a bpffs. Everything is removed again, also after a failure, and what a killed run left is removed first.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBpf } from './bpf.ts';
import { buildNative } from './native.ts';
import { root } from './stamp.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numFailedTestSuites: number;
}

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'] });
};

const isAlive = (pid: number): boolean => existsSync(`/proc/${String(pid)}`);

/** nest-t-<suite>-<pid>-a and -b of runs that are no more. */
const removeLeftovers = (suite: string): void => {
  const names = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    .stdout.split('\n')
    .map((line) => line.split(' ')[0] ?? '');
  for (const name of names) {
    const pid = new RegExp(`^nest-t-${suite}-(\\d+)-[ab]$`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) spawnSync('ip', ['netns', 'del', name]);
  }
};

const addNamespaces = (here: string, peer: string): void => {
  ip('netns', 'add', here);
  ip('netns', 'add', peer);
  ip('-n', here, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1', 'netns', peer);
  const ends = [
    { name: here, link: 'v0', host: '1' },
    { name: peer, link: 'v1', host: '2' },
  ];
  for (const { name, link, host } of ends) {
    // No router solicitations and no reports of multicast groups: tests count packets.
    ip('-n', name, 'link', 'set', link, 'addrgenmode', 'none');
    execFileSync('ip', [
      'netns',
      'exec',
      name,
      'sysctl',
      '-q',
      '-w',
      `net.ipv6.conf.${link}.accept_ra=0`,
      `net.ipv6.conf.${link}.router_solicitations=0`,
    ]);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'set', link, 'up');
    ip('-n', name, 'addr', 'add', `198.18.0.${host}/24`, 'dev', link);
    ip('-n', name, 'addr', 'add', `2001:db8::${host}/64`, 'dev', link, 'nodad');
  }
};

const runVitest = (
  config: string,
  namespace: string,
  options: { readonly folder: string; readonly env: NodeJS.ProcessEnv },
): Report | undefined => {
  const output = join(options.folder, 'report.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  spawnSync(
    'ip',
    [
      'netns',
      'exec',
      namespace,
      process.execPath,
      vitest,
      'run',
      '--config',
      config,
      '--reporter=verbose',
      '--reporter=json',
      `--outputFile.json=${output}`,
      ...process.argv.slice(2),
    ],
    {
      cwd: root,
      stdio: 'inherit',
      env: options.env,
    },
  );
  return existsSync(output) ? (JSON.parse(readFileSync(output, 'utf8')) as Report) : undefined;
};

/** Builds, runs the suite, prints `N passed, N failed, N skipped` as the last line; returns the exit code. */
export const runNativeSuite = (suite: string, config: string): number => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    console.log(`SKIP ${suite}: needs Linux and root (network namespaces, BPF)`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  buildBpf();
  buildNative();
  removeLeftovers(suite);
  const here = `nest-t-${suite}-${String(process.pid)}-a`;
  const peer = `nest-t-${suite}-${String(process.pid)}-b`;
  const folder = mkdtempSync(join(tmpdir(), 'nest-t-'));
  const bpffs = join(folder, 'bpffs');
  try {
    execFileSync('mkdir', [bpffs]);
    execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
    addNamespaces(here, peer);
    const report = runVitest(config, here, { folder, env: { ...process.env, NEST_TEST_BPFFS: bpffs, NEST_TEST_PEER: peer } });
    const failed = report === undefined ? 1 : report.numFailedTests + (report.numFailedTests === 0 ? report.numFailedTestSuites : 0);
    console.log(`${String(report?.numPassedTests ?? 0)} passed, ${String(failed)} failed, ${String(report?.numPendingTests ?? 0)} skipped`);
    return failed === 0 && (report?.numPassedTests ?? 0) > 0 ? 0 : 1;
  } finally {
    for (const name of [here, peer]) spawnSync('ip', ['netns', 'del', name]);
    spawnSync('umount', [bpffs]);
    rmSync(folder, { recursive: true, force: true });
  }
};
