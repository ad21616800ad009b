// Starts a verb of the project on a machine that has only Node and npm: installs the packages when they are absent or
// the lock file changed, then hands over to the TypeScript script of that verb on the Node the project pins.
// Plain JavaScript for Node 20 and later: nothing is installed yet when this runs.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
const stamp = join(modules, '.nest-stamp');
const pinnedNode = join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
const nodeMajorMin = 20;
const npmMajorMin = 9;
const pinnedMajor = 24;
const headLines = 15;
const tailLines = 15;
const heartbeatMs = 5000;
const parentCheckMs = 1000;
const verbs = { start: 'start.ts', test: 'test.ts', dev: 'dev.ts' };

const fail = (message) => {
  console.error(`nest: ${message}`);
  process.exit(1);
};

/** npm as argv: the one that runs us when it says so, else the one in PATH. */
const npm = (args) => {
  const script = process.env.npm_execpath;
  if (script !== undefined && /\.c?js$/.test(script) && existsSync(script))
    return { file: process.execPath, args: [script, ...args], shell: false };
  return { file: process.platform === 'win32' ? 'npm.cmd' : 'npm', args, shell: process.platform === 'win32' };
};

const checkTools = () => {
  if (Number(process.versions.node.split('.')[0]) < nodeMajorMin) {
    fail(`Node ${process.versions.node} is too old. Install Node ${nodeMajorMin} or later (https://nodejs.org), then try again.`);
  }
  const { file, args, shell } = npm(['--version']);
  const version = spawnSync(file, args, { encoding: 'utf8', shell });
  if (version.status !== 0) fail('npm was not found. Install it with Node (on Debian: apt-get install npm), then try again.');
  if (Number(version.stdout.split('.')[0]) < npmMajorMin)
    fail(`npm ${version.stdout.trim()} is too old. Update it with: npm install --global npm@latest`);
};

const lockHash = () => {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\0`);
  for (const name of ['package-lock.json', '.npmrc']) hash.update(readFileSync(join(root, name))).update('\0');
  return hash.digest('hex');
};

const major = () => {
  const { status, stdout } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' });
  return status === 0 ? Number(/^v(\d+)/.exec(stdout)?.[1] ?? 0) : 0;
};

/** Resolves with npm's exit code and the end of its output; prints a sign of life meanwhile. */
const runNpm = (npmArgs) =>
  new Promise((resolve) => {
    const { file, args, shell } = npm(npmArgs);
    const child = spawn(file, args, { cwd: root, shell, stdio: ['ignore', 'pipe', 'pipe'] });
    const started = performance.now();
    let lines = [];
    const keep = (chunk) => {
      lines = [
        ...lines,
        ...chunk
          .toString('utf8')
          .split(/\r?\n/)
          .filter((line) => line.trim() !== ''),
      ];
      // The cause stands at the top of npm's complaint, the log file's name at its end.
      if (lines.length > headLines + tailLines) lines = [...lines.slice(0, headLines), ...lines.slice(-tailLines)];
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const heartbeat = setInterval(
      () => console.log(`nest: npm is still at work (${Math.round((performance.now() - started) / 1000)} s)`),
      heartbeatMs,
    );
    const stop = (signal) => child.kill(signal);
    process.once('SIGINT', stop).once('SIGTERM', stop);
    const end = (code, extra) => {
      clearInterval(heartbeat);
      process.off('SIGINT', stop).off('SIGTERM', stop);
      resolve({ code, lines: [...lines, ...extra], seconds: (performance.now() - started) / 1000 });
    };
    child.once('error', (error) => end(1, [error.message]));
    child.once('close', (code) => end(code ?? 1, []));
  });

const installPackages = async () => {
  const hash = lockHash();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash && existsSync(pinnedNode)) return;
  console.log(existsSync(modules) ? 'nest: the lock file changed, installing packages (npm ci)' : 'nest: installing packages (npm ci)');
  const { code, lines, seconds } = await runNpm(['ci', '--no-audit', '--no-fund', '--loglevel=warn']);
  if (code !== 0) {
    for (const line of lines) console.error(`  ${line}`);
    fail(
      `npm ci ended with ${code}; what it said is above. Check that the npm registry can be reached (npm ping) and that package-lock.json fits package.json, then try again.`,
    );
  }
  if (major() < pinnedMajor)
    fail(
      `Node ${pinnedMajor} (npm package "node") is not in place: its install script did not run. Try: npm rebuild node --ignore-scripts=false`,
    );
  writeFileSync(stamp, hash);
  console.log(`nest: packages installed in ${seconds.toFixed(0)} s`);
};

/** Our parent and, when npm runs us through a shell, npm: the process numbers whose end is ours. */
const ancestors = () => {
  if (process.env.npm_lifecycle_event === undefined || process.platform !== 'linux') return String(process.ppid);
  try {
    const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
    return `${process.ppid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]}`;
  } catch {
    return 'gone';
  }
};

/** Runs the verb; it hears of our end by its IPC channel closing, so that even a killed parent leaves nothing behind. */
const handOver = (script, args) => {
  const bin = join(modules, '.bin');
  const child = spawn(pinnedNode, [join(root, 'build', script), ...args], {
    cwd: root,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  const known = ancestors();
  setInterval(() => {
    if (ancestors() !== known) child.kill('SIGTERM');
  }, parentCheckMs).unref();
  child.once('error', (error) => fail(`${script} could not be started: ${error.message}. Remove node_modules and try again.`));
  child.once('exit', (code, signal) => {
    if (signal !== null) console.error(`nest: ${script} was ended by ${signal}`);
    process.exit(code ?? 1);
  });
};

const [verb = '', ...args] = process.argv.slice(2);
const script = verbs[verb];
if (script === undefined) fail(`There is no verb "${verb}". Use one of: ${Object.keys(verbs).join(', ')}.`);
checkTools();
await installPackages();
handOver(script, args);
