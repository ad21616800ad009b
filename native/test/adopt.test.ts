import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bpfObjectPath, loadNative } from '../index.ts';
import { addInterface, generate, judgeOn, newPinPath, openDataPath, removeInterface } from './support/data-path.ts';
import { frame4, tcp, tcpFlag } from './support/packets.ts';
import { client4, mapping, server4, webPolicy } from './support/policies.ts';

const holderPath = fileURLToPath(new URL('./support/holder.ts', import.meta.url));

const hold = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [holderPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });

const ready = async (child: ChildProcess): Promise<string> => {
  if (child.stdout === null) throw new Error('the holder has no output');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as readonly unknown[];
  return String(line);
};

const kill = async (child: ChildProcess): Promise<void> => {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
};

const packet = (from: number, to = 443): Buffer => frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from, to }) });

describe('adopting', () => {
  it('takes over programs, policy, flows, counters and interfaces, without a reload', async () => {
    addInterface('adopt0');
    const { dataPath: first, pinPath } = await openDataPath();
    await first.attach('adopt0');
    await first.swap(webPolicy(), 1);
    judgeOn(first, pinPath, 'adopt0').send(packet(1));
    const before = first.state();
    await first.close();

    const { dataPath: second } = await openDataPath(pinPath);
    expect(second.state()).toEqual({ ...before, adopted: true });
    const judge = judgeOn(second, pinPath, 'adopt0');
    expect([judge.send(packet(1)).reason, judge.send(packet(2, 23)).reason]).toEqual(['FLOW', 'POLICY_DENY']);
    expect(second.counters().active).toMatchObject({ sequence: 1 });
    expect(second.counters().active.values[2]).toBe(2n);
    await second.swap(webPolicy(), 2);
    await second.remove();
    removeInterface('adopt0');
  });

  it('goes on after kill -9 of the process that held it', async () => {
    addInterface('adopt1');
    const pinPath = newPinPath();
    const child = hold([pinPath, 'adopt1']);
    expect(await ready(child)).toBe('ready false');
    await kill(child);
    const { dataPath } = await openDataPath(pinPath);
    expect(dataPath.state()).toMatchObject({ adopted: true, interfaces: [{ name: 'adopt1' }] });
    await dataPath.remove();
    removeInterface('adopt1');
  });

  it('loses no packet to kill -9 under 50,000 packets a second, and goes on counting', async () => {
    const pinPath = newPinPath();
    const { dataPath: first } = await openDataPath(pinPath);
    await first.attach('v0');
    await first.swap(webPolicy(), 1);
    await first.close();
    const child = hold([pinPath]);
    expect(await ready(child)).toBe('ready true');
    const [allowed, denied] = [443, 23].map((to) =>
      frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ to, flags: tcpFlag.ack }) }),
    );
    const sending = generate(allowed ?? Buffer.alloc(0), ['--count', '100000', '--rate', '50000', '--vary-offset', '34', '--flows', '256']);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await kill(child);
    await new Promise((resolve) => setTimeout(resolve, 300));
    // The next owner takes over while packets flow.
    const { dataPath: second } = await openDataPath(pinPath);
    try {
      const sent = await sending;
      // Paced, and after the first stream: two generators at once overrun the link's ring of 256 packets before the program sees them.
      const refused = await generate(denied ?? Buffer.alloc(0), ['--count', '1000', '--rate', '20000']);
      expect(second.state()).toMatchObject({ adopted: true, sequence: 1 });
      const { active } = second.counters();
      expect([active.values[mapping.allowWeb * 2], active.values[mapping.denyTelnet * 2]]).toEqual([BigInt(sent), BigInt(refused)]);
      expect([sent, refused]).toEqual([100_000, 1_000]);
    } finally {
      await second.remove();
    }
  });

  it('recovers from kill -9 at any moment of loading', { timeout: 180_000 }, async () => {
    for (let round = 0; round < 8; round += 1) {
      const pinPath = newPinPath();
      const child = hold([pinPath]);
      while (!existsSync(pinPath)) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setTimeout(resolve, round * 60));
      await kill(child);
      const { dataPath } = await openDataPath(pinPath);
      expect(dataPath.state()).toMatchObject({ sequence: 0, interfaces: [] });
      await dataPath.remove();
    }
  });

  it('does not take half-made pins for a data path', async () => {
    const { dataPath, pinPath } = await openDataPath();
    const { programId } = dataPath.state();
    await dataPath.close();
    // As a process leaves them that dies before the commit: maps moved, programs not yet.
    mkdirSync(join(pinPath, 'loading'));
    renameSync(join(pinPath, 'programs'), join(pinPath, 'loading/programs'));
    const { dataPath: again } = await openDataPath(pinPath);
    expect(again.state()).toMatchObject({ adopted: false });
    expect(again.state().programId).not.toBe(programId);
    expect(readdirSync(pinPath).sort()).toEqual(['links', 'maps', 'programs']);
    await again.remove();
    expect(existsSync(pinPath)).toBe(false);
  });

  it('refuses pins that miss a map', async () => {
    const { dataPath, pinPath } = await openDataPath();
    await dataPath.close();
    rmSync(join(pinPath, 'maps/nest_losses'));
    await expect(openDataPath(pinPath)).rejects.toMatchObject({
      code: 'NATIVE_PIN_INCOMPATIBLE',
      step: expect.stringContaining('pin folder'),
    });
    rmSync(pinPath, { recursive: true });
  });

  it('refuses a second owner', async () => {
    const { dataPath, pinPath } = await openDataPath();
    await expect(openDataPath(pinPath)).rejects.toMatchObject({
      code: 'NATIVE_SYSTEM',
      message: expect.stringContaining('another process'),
    });
    await dataPath.remove();
  });

  it('forgets interfaces that went away meanwhile, and follows renamed ones', async () => {
    addInterface('adopt2');
    addInterface('adopt3');
    const { dataPath, pinPath } = await openDataPath();
    await dataPath.attach('adopt2');
    await dataPath.attach('adopt3');
    await dataPath.close();
    removeInterface('adopt2');
    execFileSync('ip', ['link', 'set', 'adopt3', 'name', 'adopt3.new']);
    const { dataPath: again } = await openDataPath(pinPath);
    expect(again.state().interfaces.map(({ name }) => name)).toEqual(['adopt3.new']);
    expect(await again.detach('adopt3.new')).toBe(true);
    await again.remove();
    removeInterface('adopt3.new');
  });
});

describe('opening', () => {
  it('refuses a pin folder outside a bpffs', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-t-'));
    await expect(loadNative().open({ objectPath: bpfObjectPath(), pinPath: join(folder, 'pins') })).rejects.toMatchObject({
      code: 'NATIVE_BPFFS_MISSING',
    });
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('says what an unprivileged process lacks', () => {
    const script = `
      const { loadNative, bpfObjectPath } = await import(process.argv[1]);
      const addon = loadNative();
      process.setegid(65534);
      process.seteuid(65534);
      await addon.open({ objectPath: bpfObjectPath(), pinPath: process.argv[2] }).catch(({ code, step }) => console.log(JSON.stringify({ code, step })));`;
    const index = new URL('../index.ts', import.meta.url).href;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script, index, newPinPath()], { encoding: 'utf8' });
    expect(JSON.parse(output)).toEqual({ code: 'NATIVE_PERMISSION', step: expect.stringContaining('CAP_BPF') });
  });

  it('hands over the last lines of the verifier', async () => {
    const pinPath = newPinPath();
    const rejected = bpfObjectPath().replace('nest_xdp', 'rejected');
    await expect(loadNative().open({ objectPath: rejected, pinPath })).rejects.toMatchObject({
      code: 'NATIVE_VERIFIER_REJECTED',
      verifierLog: expect.stringContaining('invalid access to packet'),
    });
    expect(existsSync(join(pinPath, 'programs'))).toBe(false);
  });

  it('refuses an object that is not there, or is something else', async () => {
    const wrapper = bpfObjectPath().replace('nest_xdp', 'bench_wrapper');
    for (const objectPath of ['/nonexistent.o', wrapper, fileURLToPath(import.meta.url)]) {
      await expect(loadNative().open({ objectPath, pinPath: newPinPath() })).rejects.toMatchObject({
        code: 'NATIVE_SYSTEM',
        step: expect.any(String),
      });
    }
  });

  it('answers with NATIVE_CLOSED after close, and closes twice without harm', async () => {
    const { dataPath, pinPath } = await openDataPath();
    await dataPath.close();
    await dataPath.close();
    expect(() => dataPath.counters()).toThrow(expect.objectContaining({ code: 'NATIVE_CLOSED' }));
    await expect(dataPath.attach('v0')).rejects.toMatchObject({ code: 'NATIVE_CLOSED' });
    const { dataPath: again } = await openDataPath(pinPath);
    await again.remove();
  });
});
