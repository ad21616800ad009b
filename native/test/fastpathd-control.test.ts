/** The control protocol of nest-fastpathd: what it shares, that it outlives its controller, and what it refuses. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Daemon } from './support/fastpathd.ts';
import { Bench, eventually, missing } from './support/fastpathd.ts';
import { buildImage } from './support/image-builder.ts';

const reason = missing('af_xdp');
let bench: Bench;
let daemon: Daemon;

beforeAll(async () => {
  if (reason !== '') return;
  bench = new Bench();
  daemon = await bench.start(['--interface', 'a1:0', '--cpu', '1']);
});

afterAll(async () => {
  if (reason === '') await bench[Symbol.asyncDispose]();
});

const kinds = { hello: 1, load: 2, stats: 3, addPort: 4, stop: 6, flows: 10 } as const;

const message = (fields: {
  readonly kind: number;
  readonly body?: Buffer;
  readonly magic?: number;
  readonly status?: number;
  readonly bytes?: number;
}): string => {
  const body = fields.body ?? Buffer.alloc(0);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(fields.magic ?? 0x3150464e, 0);
  header.writeUInt16LE(fields.kind, 4);
  header.writeUInt16LE(fields.status ?? 0, 6);
  header.writeUInt32LE(7, 8);
  header.writeUInt32LE(fields.bytes ?? body.length, 12);
  return Buffer.concat([header, body]).toString('hex');
};

const load = (sequence: number, bytes: number): Buffer => {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(sequence, 0);
  body.writeBigUInt64LE(BigInt(bytes), 8);
  return body;
};

const u32 = (...values: readonly number[]): Buffer => {
  const body = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) body.writeUInt32LE(value, index * 4);
  return body;
};

describe('the control socket', () => {
  it('is for the owner alone', (context) => {
    if (reason !== '') context.skip(reason);
    expect(execFileSync('stat', ['--format=%a', bench.path('control-0')], { encoding: 'utf8' }).trim()).toBe('600');
  });

  it('hands out the same memory to every controller, the status page for reading only', async (context) => {
    if (reason !== '') context.skip(reason);
    const first = daemon.control('hello');
    expect(first).toMatchObject({ status: 'OK', process: daemon.report.process, sequence: 0 });
    expect(first.inodes).toHaveLength(2);
    const page = daemon.control('status');
    expect(page).toMatchObject({ status: 'OK', writable: false, lanes: [{ processor: 1 }] });
    expect(page.lanes?.[0]?.ring).toBeGreaterThan(0);
    expect(await eventually(() => (daemon.control('status').lanes?.[0]?.rounds ?? 0) > (page.lanes?.[0]?.rounds ?? 0))).toBe(true);

    // A controller is killed in the middle; the daemon goes on, and the next one finds all as it was.
    const agent = await bench.hold(0);
    const ended = once(agent, 'exit');
    agent.kill('SIGKILL');
    await ended;
    expect(bench.canPing()).toBe(true);
    expect(daemon.control('hello')).toEqual(first);
  });

  it('keeps the images it was given, the current and the one before', (context) => {
    if (reason !== '') context.skip(reason);
    const image = bench.image('empty', buildImage({ flags: 0 }));
    expect(daemon.control('load', image, '1')).toMatchObject({ status: 'OK' });
    expect(daemon.control('load', image, '2')).toMatchObject({ status: 'OK' });
    const hello = daemon.control('hello');
    expect(hello).toMatchObject({ status: 'OK', sequence: 2, descriptors: 15 });
    expect(hello.inodes).toHaveLength(4);
  });

  it('serves four controllers at a time and turns the fifth away', async (context) => {
    if (reason !== '') context.skip(reason);
    const held = await Promise.all(Array.from({ length: 4 }, async () => bench.hold(0)));
    expect(daemon.control('hello')).toMatchObject({ status: 'CONNECTION' });
    for (const each of held) each.kill('SIGKILL');
    expect(await eventually(() => daemon.control('hello').status === 'OK')).toBe(true);
  });
});

describe('hostile messages', () => {
  it('are refused with their status, and the daemon goes on', (context) => {
    if (reason !== '') context.skip(reason);
    const raw = (hex: string, ...descriptors: readonly string[]): string => daemon.control('raw', hex, ...descriptors).status;
    const hello = message({ kind: kinds.hello, body: u32(1) });
    expect({
      empty: raw('00'),
      cut: raw(hello.slice(0, 20)),
      magic: raw(message({ kind: kinds.hello, body: u32(1), magic: 1 })),
      reply: raw(message({ kind: kinds.hello, body: u32(1), status: 3 })),
      shorter: raw(message({ kind: kinds.hello, body: u32(1), bytes: 100 })),
      longer: raw(message({ kind: kinds.hello, body: u32(1), bytes: 2 })),
      huge: raw(message({ kind: kinds.hello, body: Buffer.alloc(5000) })),
      body: raw(message({ kind: kinds.hello, body: u32(1, 2) })),
      version: raw(message({ kind: kinds.hello, body: u32(99) })),
      kind: raw(message({ kind: 99 })),
      descriptors: raw(hello, 'plain', '5'),
      noDescriptor: raw(message({ kind: kinds.load, body: load(3, 8) })),
      plainFile: raw(message({ kind: kinds.load, body: load(3, 8) }), 'plain', '1'),
      two: raw(message({ kind: kinds.load, body: load(3, 8) }), 'sealed', '2'),
      otherSize: raw(message({ kind: kinds.load, body: load(3, 4096) }), 'sealed', '1'),
      tooLarge: raw(message({ kind: kinds.load, body: load(3, 2 ** 40) }), 'sealed', '1'),
      noImage: raw(message({ kind: kinds.load, body: load(3, 8) }), 'sealed', '1'),
      portName: raw(message({ kind: kinds.addPort, body: Buffer.alloc(640, 0x61) })),
      portPath: raw(message({ kind: kinds.addPort, body: Buffer.concat([Buffer.from('../../x'), Buffer.alloc(633)]) })),
      flows: raw(message({ kind: kinds.flows, body: u32(0, 100_000) })),
    }).toEqual({
      empty: 'MESSAGE',
      cut: 'MESSAGE',
      magic: 'MESSAGE',
      reply: 'MESSAGE',
      shorter: 'MESSAGE',
      longer: 'MESSAGE',
      huge: 'MESSAGE',
      body: 'MESSAGE',
      version: 'VERSION',
      kind: 'KIND',
      descriptors: 'MESSAGE',
      noDescriptor: 'DESCRIPTOR',
      plainFile: 'DESCRIPTOR',
      two: 'DESCRIPTOR',
      otherSize: 'DESCRIPTOR',
      tooLarge: 'TABLE_FULL',
      noImage: 'IMAGE',
      portName: 'USAGE',
      portPath: 'USAGE',
      flows: 'USAGE',
    });
    expect(bench.canPing()).toBe(true);
    expect(daemon.control('hello')).toMatchObject({ status: 'OK', process: daemon.report.process });
  });

  it('do not make the daemon keep descriptors', (context) => {
    if (reason !== '') context.skip(reason);
    const open = (): number => execFileSync('ls', [`/proc/${String(daemon.report.process)}/fd`], { encoding: 'utf8' }).split('\n').length;
    const before = open();
    for (let turn = 0; turn < 20; turn += 1) daemon.control('raw', message({ kind: kinds.stats }), 'sealed', '4');
    for (let turn = 0; turn < 20; turn += 1) daemon.control('raw', message({ kind: 99 }), 'plain', '5');
    expect(open()).toBe(before);
  });

  it('an image out of turn is refused with the sequence to take', (context) => {
    if (reason !== '') context.skip(reason);
    const { sequence = 0 } = daemon.control('hello');
    const answer = daemon.control('load', bench.image('empty', buildImage({ flags: 0 })), String(sequence));
    expect(answer).toMatchObject({ status: 'IMAGE', message: expect.stringContaining(`current sequence is ${String(sequence)}`) });
  });

  it('a second daemon does not take the socket of a living one', (context) => {
    if (reason !== '') context.skip(reason);
    expect(bench.refusal(['--control', bench.path('control-0')])).toMatchObject({ code: 2, status: 'USAGE' });
    expect(daemon.control('hello')).toMatchObject({ status: 'OK' });
  });
});
