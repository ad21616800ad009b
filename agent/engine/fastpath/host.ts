/** nest-fastpathd on this system: where its files are, how it is started, asked, read and ended. A port: tests have their own. */
import { execFile, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EngineProbe, UserEngine } from '../api.ts';
import { recordBytes } from '../layout.ts';
import { openSharedMemory } from './memory.ts';
import type { SharedBytes, SharedMemory } from './memory.ts';

/** What nest-fastpathctl prints: its one JSON line, and rows behind it. */
export interface ControlAnswer {
  /** NEST_FAST_STATUS_*, or "CONNECTION": nobody answers. */
  readonly status: string;
  /** The cause, a line feed, what can be done; empty when it is OK. */
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Packed struct nest_record rows. */
  readonly rows: Buffer;
}

export interface StartedProcess {
  readonly pid: number;
  /** Resolves when it serves; rejects with why it does not. */
  readonly ready: Promise<void>;
  /** Resolves with how it ended, in words. */
  readonly ended: Promise<string>;
}

export interface FastpathHost {
  /** What each engine needs and has, in words. */
  probe(): Promise<readonly EngineProbe[]>;
  start(engine: UserEngine, words: readonly string[]): StartedProcess;
  /** Never rejects: trouble is a status. */
  control(socket: string, words: readonly string[]): Promise<ControlAnswer>;
  /** Of a process that said hello with these inodes. Throws when it cannot be read. */
  memory(pid: number, inodes: readonly number[]): SharedMemory;
  isAlive(pid: number): boolean;
  kill(pid: number): void;
  /** Puts an image where nest-fastpathctl reads it. */
  writeImage(path: string, image: Uint8Array): Promise<void>;
  removeImage(path: string): Promise<void>;
  /** Whether the file holds this image. */
  isImage(path: string, image: Uint8Array): Promise<boolean>;
  /** Empty when there is no such file. */
  readText(path: string): string;
  writeText(path: string, text: string): void;
  /** Names of interfaces whose packet program is pinned. */
  pinned(folder: string): readonly string[];
  /** Takes a pinned packet program off its interface. */
  unpin(folder: string, name: string): Promise<void>;
  readonly processors: number;
}

const parentsMax = 5;
const controlMs = 15_000;
const probeMs = 10_000;
const readyMs = 20_000;
const answerBytesMax = 16 << 20;
const errorBytesMax = 4_096;
/** The kernel detaches some moments after the last reference to a link has gone. */
const detachMs = 150;

/** Absent where it was not built. `folder`: where the executables are; the default looks beside the agent and in dist. */
export const createFastpathHost = ({ folder, processors }: { readonly folder?: string; readonly processors: number }): FastpathHost => {
  const find = (name: string): string | undefined => (folder === undefined ? findBuilt(name) : existing(join(folder, name)));
  return {
    processors,
    probe: async () => await probeWith(find('nest-fastpathd')),
    start: (engine, words) => startProcess(find(engine === 'dpdk' ? 'nest-fastpathd-dpdk' : 'nest-fastpathd') ?? 'nest-fastpathd', words),
    control: async (socket, words) => await ask(find('nest-fastpathctl') ?? 'nest-fastpathctl', [socket, ...words]),
    memory: (pid, [memory = 0, status = 0]) => {
      const opened = openDescriptor(pid, memory, 'r+');
      try {
        return openSharedMemory(opened, openDescriptor(pid, status, 'r'));
      } catch (error) {
        opened.close();
        throw error;
      }
    },
    isAlive,
    kill: (pid) => {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    },
    writeImage: async (path, image) => await writeFile(path, image, { mode: 0o600 }),
    removeImage: async (path) => await rm(path, { force: true }),
    isImage: async (path, image) => (await readFile(path).catch(() => null))?.equals(image) ?? false,
    readText: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : ''),
    writeText: (path, text) => {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    },
    pinned: (pins) => (existsSync(pins) ? readdirSync(pins).filter((name) => existsSync(join(pins, name, 'link'))) : []),
    unpin: async (pins, name) => {
      await rm(join(pins, name), { recursive: true, force: true });
      await sleep(detachMs);
    },
  };
};

const existing = (path: string): string | undefined => (existsSync(path) ? path : undefined);

/** In dist/native or native beside this module or a folder above it: of the repository, or of an installed bundle. */
const findBuilt = (name: string): string | undefined => {
  let parent = dirname(fileURLToPath(import.meta.url));
  for (let level = 0; level < parentsMax; level++) {
    const found = [join(parent, 'dist/native', name), join(parent, 'native', name)].find((candidate) => existsSync(candidate));
    if (found !== undefined) return found;
    parent = dirname(parent);
  }
  return undefined;
};

const probeWith = async (program: string | undefined): Promise<readonly EngineProbe[]> => {
  const none = (reason: string): readonly EngineProbe[] => ['af_xdp', 'dpdk'].map((engine) => ({ engine, available: false, reason }));
  if (program === undefined) return none('nest-fastpathd is not installed on this host.');
  const { stdout, error } = await run(program, ['--probe'], probeMs);
  try {
    const { engines } = JSON.parse(stdout.toString('utf8')) as { readonly engines: readonly EngineProbe[] };
    return engines.map(({ engine, available, reason }) => ({ engine, available, reason: sentence(reason) }));
  } catch {
    return none(`nest-fastpathd cannot be asked: ${error}`);
  }
};

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;

const run = async (
  program: string,
  words: readonly string[],
  timeout: number,
): Promise<{ readonly stdout: Buffer; readonly error: string }> =>
  await new Promise((resolve) => {
    execFile(program, words, { encoding: 'buffer', timeout, maxBuffer: answerBytesMax }, (error, stdout) => {
      resolve({ stdout, error: error === null ? '' : error.message });
    });
  });

const ask = async (program: string, words: readonly string[]): Promise<ControlAnswer> => {
  const { stdout, error } = await run(program, words, controlMs);
  const end = stdout.indexOf('\n');
  try {
    const fields = JSON.parse(stdout.toString('utf8', 0, end < 0 ? stdout.length : end)) as Readonly<Record<string, unknown>>;
    const rows = end < 0 ? Buffer.alloc(0) : stdout.subarray(end + 1);
    return {
      status: String(fields['status']),
      message: typeof fields['message'] === 'string' ? fields['message'] : '',
      fields,
      rows: rows.length % recordBytes === 0 ? rows : Buffer.alloc(0),
    };
  } catch {
    return { status: 'CONNECTION', message: error === '' ? 'nest-fastpathctl does not answer' : error, fields: {}, rows: Buffer.alloc(0) };
  }
};

const startProcess = (program: string, words: readonly string[]): StartedProcess => {
  // A process group of its own: what ends the agent does not end it.
  const child = spawn(program, words, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => void (errors = (errors + chunk.toString('utf8')).slice(-errorBytesMax)));
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(endOf(code, signal, errors)));
  });
  const ready = new Promise<void>((resolve, reject) => {
    const timeout = setTimeout(() => reject(new Error('it does not say that it is ready')), readyMs);
    timeout.unref();
    child.stdout.once('data', () => {
      clearTimeout(timeout);
      resolve();
    });
    void ended.then((how) => reject(new Error(how)));
  });
  ready.catch(() => undefined);
  child.unref();
  // Sockets in Node: they must not keep the agent from ending.
  for (const stream of [child.stdout, child.stderr]) if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
  return { pid: child.pid ?? 0, ready, ended };
};

const endOf = (code: number | null, signal: NodeJS.Signals | null, errors: string): string => {
  if (signal !== null) return `it was ended by ${signal}`;
  const line = errors.split('\n').findLast((each) => each.startsWith('{'));
  try {
    const { message, step } = JSON.parse(line ?? '') as { readonly message: string; readonly step: string };
    return step === '' ? message : `${message} (${step})`;
  } catch {
    return `it ended with code ${String(code)}${errors.trim() === '' ? '' : `: ${errors.trim()}`}`;
  }
};

/** Zombies do not count: nobody may be there to reap what an earlier agent started. */
const isAlive = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    return !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2).charAt(0));
  } catch {
    return false;
  }
};

/** Node has no way to take descriptors from a socket, but the kernel lets who may trace a process open what it has open. */
const openDescriptor = (pid: number, inode: number, flags: 'r' | 'r+'): SharedBytes => {
  const folder = `/proc/${String(pid)}/fd`;
  const isWanted = (path: string): boolean => {
    try {
      return readlinkSync(path).startsWith('/memfd:nest-') && statSync(path).ino === inode;
    } catch {
      return false;
    }
  };
  const path = readdirSync(folder)
    .map((name) => join(folder, name))
    .find(isWanted);
  if (path === undefined) throw new Error(`process ${String(pid)} shares no memory with inode ${String(inode)}`);
  const descriptor = openSync(path, flags);
  return {
    read: (offset, length) => {
      const bytes = Buffer.from(new ArrayBuffer(length));
      readSync(descriptor, bytes, 0, length, offset);
      return bytes;
    },
    write: (offset, bytes) => void writeSync(descriptor, bytes, 0, bytes.length, offset),
    close: () => closeSync(descriptor),
  };
};
