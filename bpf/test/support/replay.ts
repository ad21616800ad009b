/** Packets through the pinned program for real, one after the other, and what it made of their bytes. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { framed } from '../../../native/test/support/packets.ts';

const actions = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const;

export interface Replayed {
  readonly action: (typeof actions)[number] | undefined;
  readonly bytes: Buffer;
  readonly durationNs: number;
}

export interface Replay extends Disposable {
  /** repeat: the same packet so often; the bytes are those after the last time. */
  readonly run: (packets: readonly Buffer[], repeat?: number) => readonly Replayed[];
  readonly one: (packet: Buffer) => Replayed;
  /** Removes the entries of one side of all flows, as a full table may: the responder's (alias), or the initiator's. */
  readonly forget: (family: 4 | 6, side: 'alias' | 'initiator') => void;
}

export const indexOf = (name: string): number => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));

/** Builds the tool; the packets come in on that interface of this namespace. */
export const openReplay = (pinPath: string, interfaceIndex: number): Replay => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-t-replay-'));
  const program = join(folder, 'replay');
  const source = fileURLToPath(new URL('replay.c', import.meta.url));
  const include = fileURLToPath(new URL('../../include', import.meta.url));
  execFileSync('clang-19', ['-O1', '-Wall', '-Wextra', `-I${include}`, source, '-o', program, '-lbpf'], { stdio: 'inherit' });
  const run: Replay['run'] = (packets, repeat = 1) =>
    execFileSync(program, [`${pinPath}/programs/nest_xdp`, String(interfaceIndex), String(repeat)], {
      input: framed(packets),
      encoding: 'utf8',
      maxBuffer: 256 << 20,
    })
      .trim()
      .split('\n')
      .map((line) => {
        const [action, duration, bytes] = line.split(' ');
        return { action: actions[Number(action)], durationNs: Number(duration), bytes: Buffer.from(bytes ?? '', 'hex') };
      });
  return {
    run,
    one: (packet) => {
      const [replayed] = run([packet]);
      if (replayed === undefined) throw new Error('no answer to a packet');
      return replayed;
    },
    forget: (family, side) => {
      execFileSync(program, [`${pinPath}/maps/nest_flows${String(family)}`, side]);
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
};
