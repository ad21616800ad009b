import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { framesOf, framesStart } from '../../agent/control/audit/segment.ts';
import { emptyFact } from '../../proto/model/audit.ts';
import type { AuditHeadRow } from '../../desktop/bridge/model.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { checkAuditExport, createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { startAuditedAgent } from '../support/audited-agent.ts';
import { freePort } from '../support/free-port.ts';
import type { AuditedAgent } from '../support/audited-agent.ts';

const never = new AbortController().signal;
let folder: string;
let vault: CredentialVault;
let core: ConsoleCore;
let agents: AuditedAgent[];

const openCore = (): ConsoleCore =>
  createConsoleCore({
    clock: systemClock(),
    random: systemRandom,
    verdictProgram: createVerdictProgram(),
    cache: openFleetCache(join(folder, 'fleet.sqlite'), Date.now()).cache,
    vaults: [vault],
    settings: createMemorySettings(),
    version: '0.0.0',
    report: () => undefined,
  });

/** The first answer that is wanted; asks ten times a second. */
const until = async <Value>(ask: () => Promise<Value>, isWanted: (value: Value) => boolean): Promise<Value> => {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    const value = await ask();
    if (isWanted(value)) return value;
    await systemClock().sleep(100, signal);
  }
};
const headOf =
  (hostId: string): (() => Promise<AuditHeadRow>) =>
  async () => {
    const found = (await core.handlers['audit.heads']({}, never)).find((row) => row.hostId === hostId);
    if (found === undefined) throw new Error('no such host');
    return found;
  };
const enroll = async (name: string, segments = {}): Promise<{ readonly agent: AuditedAgent; readonly hostId: string }> => {
  const agent = await startAuditedAgent({ ...segments, port: await freePort() });
  agents.push(agent);
  const begun = await core.handlers['enrollment.begin']({ name, address: '127.0.0.1', port: agent.port, labels: [] }, never);
  await agent.join(begun.token ?? '');
  const { enrollmentId } = begun;
  for await (const { state } of core.handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(20_000)))
    if (state === 'fingerprint') break;
  const { hostId } = await core.handlers['enrollment.approve']({ enrollmentId }, never);
  return { agent, hostId: hostId ?? '' };
};
const grow = async (agent: AuditedAgent, count: number, from = 0): Promise<void> => {
  const facts = Array.from({ length: count }, (_, index) => ({
    ...emptyFact,
    actor: 'agent',
    action: 'test',
    target: `name=${String(from + index)}`,
  }));
  await Promise.all(facts.map((fact) => agent.audit.append(fact)));
};
const segmentOf = (agent: AuditedAgent): string =>
  join(agent.auditDirectory, readdirSync(agent.auditDirectory).find((name) => name.startsWith('segment-')) ?? '');

/** Cuts the log after `kept` entries and forgets the heads, as somebody with root would. */
const cut = (agent: AuditedAgent, kept: number): void => {
  const path = segmentOf(agent);
  const content = readFileSync(path);
  const start = framesStart(content) ?? 0;
  const frames = [...framesOf(content, start)].slice(0, kept);
  writeFileSync(path, content.subarray(0, start + frames.reduce((sum, { length }) => sum + length + 8, 0)));
  writeFileSync(join(agent.auditDirectory, 'heads.log'), '');
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-core-audit-'));
  vault = createMemoryVault();
  agents = [];
  core = openCore();
  await core.handlers['fleet.create'](
    { fleetName: 'Test', operatorName: 'Ada', storage: 'passphrase', passphrase: 'correct horse battery' },
    never,
  );
});
afterEach(async () => {
  await core.close();
  await Promise.all(agents.map((agent) => agent.close()));
  await rm(folder, { recursive: true, force: true });
});

describe('the console as a witness of audit logs', () => {
  it('remembers a head that was proven, and asks for more than a restart to forget it', async () => {
    const { hostId } = await enroll('edge-1');
    const seen = await until(headOf(hostId), ({ state }) => state === 'sound');
    expect(seen).toMatchObject({ hostName: 'edge-1', firstNumber: 1, alarm: null, gap: null, problem: null });
    await core.close();
    core = openCore();
    expect(await headOf(hostId)()).toEqual(seen);
  });

  it('raises the alarm when entries were cut off between two connections, keeps it, and believes again only when told', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await grow(agent, 40);
    await agent.stop();
    await agent.start();
    const before = await until(headOf(hostId), ({ number }) => (number ?? 0) >= 42);
    await agent.stop();
    cut(agent, 20);
    await agent.start();
    const alarmed = await until(headOf(hostId), ({ state }) => state === 'alarm');
    expect(alarmed.alarm?.message).toContain(`entry ${String(before.number)} was signed for`);
    // Twenty are left, the start is another; the console has delivered its access bundle by then, or has not.
    expect(alarmed.alarm?.number).toBeGreaterThanOrEqual(21);
    expect(alarmed.alarm?.number).toBeLessThan(before.number ?? 0);
    expect(alarmed).toMatchObject({ number: before.number, hash: before.hash });
    const row = await until(
      async () => (await core.handlers['hosts.list']({}, never))[0],
      (host) => host?.state === 'degraded',
    );
    expect(row?.stateReason).toBe(alarmed.alarm?.message);
    const { sample } = await core.handlers['host.get']({ hostId }, never);
    expect(sample?.warnings[0]).toMatchObject({ code: 'AUDIT_BROKEN', severity: 'critical' });
    expect((await core.handlers['audit.verify']({ hostId }, never)).problem?.number).toBeGreaterThanOrEqual(21);
    // More entries do not hide what is gone.
    await grow(agent, 100);
    await agent.stop();
    await agent.start();
    expect((await headOf(hostId)()).state).toBe('alarm');
    const accepted = await until(
      () => core.handlers['audit.accept']({ hostId }, never).catch(() => null),
      (answer) => answer !== null,
    );
    expect(accepted).toMatchObject({ state: 'sound', alarm: null });
  });

  it('raises the alarm when the log was written anew and is longer than before', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await grow(agent, 30);
    await agent.stop();
    await agent.start();
    const before = await until(headOf(hostId), ({ number }) => (number ?? 0) >= 32);
    await agent.stop();
    cut(agent, 10);
    await agent.start();
    await grow(agent, 200, 1000);
    const alarmed = await until(headOf(hostId), ({ state }) => state === 'alarm');
    expect(alarmed.alarm?.number).toBeLessThanOrEqual(before.number ?? 0);
    expect((await core.handlers['audit.verify']({ hostId }, never)).problem).not.toBeNull();
  });

  it('says which entries were retired before it saw them', async () => {
    const { agent, hostId } = await enroll('edge-1', { segmentBytesMax: 6_000, segmentsMax: 3 });
    const { number } = await until(headOf(hostId), ({ state }) => state === 'sound');
    await core.close();
    for (let index = 0; index < 40; index += 1) await grow(agent, 10, index * 10);
    core = openCore();
    await core.handlers['fleet.unlock']({ passphrase: 'correct horse battery' }, never);
    const seen = await until(headOf(hostId), ({ state }) => state !== 'sound');
    expect(seen).toMatchObject({ state: 'gap', gap: { first: (number ?? 0) + 1, last: (seen.firstNumber ?? 0) - 1 } });
    expect((await core.handlers['audit.verify']({ hostId }, never)).problem).toBeNull();
  });
});

describe('the timeline of the fleet', () => {
  it('merges hosts by time, filters, and answers from memory for a host that is gone', async () => {
    const one = await enroll('edge-1');
    const two = await enroll('edge-2');
    await until(headOf(one.hostId), ({ state }) => state === 'sound');
    await until(headOf(two.hostId), ({ state }) => state === 'sound');
    const all = await core.handlers['audit.list']({}, never);
    expect(new Set(all.rows.map(({ hostName }) => hostName))).toEqual(new Set(['edge-1', 'edge-2']));
    expect(all.rows.map(({ at }) => at)).toEqual(all.rows.map(({ at }) => at).toSorted((a, b) => b - a));
    const enrolled = await core.handlers['audit.list']({ action: 'complete', outcome: 'done', hostIds: [two.hostId] }, never);
    expect(enrolled.rows).toMatchObject([{ hostName: 'edge-2', action: '/nest.v1.EnrollmentService/Complete', result: 'OK', opening: 1 }]);
    await one.agent.stop();
    const gone = await core.handlers['audit.list']({ hostIds: [one.hostId] }, never);
    expect(gone.hosts).toMatchObject([{ hostName: 'edge-1', live: false, problem: { code: 'HOST_UNREACHABLE' } }]);
    expect(gone.rows.length).toBeGreaterThan(0);
  });

  it('searches a long log back to where enough is found', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await grow(agent, 1500);
    const few = await core.handlers['audit.list']({ contains: 'name=', limit: 20 }, never);
    expect([few.rows.length, few.hosts[0]?.hasMore, few.rows[0]?.target]).toEqual([20, true, 'name=1499']);
    const oldest = await core.handlers['audit.list']({ contains: 'NAME=7', limit: 1000, hostIds: [hostId] }, never);
    expect(oldest.rows.at(-1)?.target).toBe('name=7');
    expect(oldest.hosts).toMatchObject([{ searchedTo: 1, hasMore: false }]);
  });
});

describe('an export', () => {
  const exportAll = async (hostIds: readonly string[]): Promise<string> => {
    let text = (await core.handlers['audit.exportHeader']({ hostIds: [...hostIds] }, never)).text;
    for (const hostId of hostIds) {
      for (let after: number | null = 0; after !== null;) {
        const piece: { readonly text: string; readonly next: number | null } = await core.handlers['audit.export'](
          { hostId, after },
          never,
        );
        text += piece.text;
        after = piece.next;
      }
    }
    return text;
  };
  const check = (text: string): ReturnType<typeof checkAuditExport> =>
    checkAuditExport(
      (async function* () {
        for (const line of text.split('\n')) yield await Promise.resolve(line);
      })(),
    );

  it('is checked without the fleet, and names the host and the entry of any change', async () => {
    const one = await enroll('edge-1');
    const two = await enroll('edge-2');
    await grow(one.agent, 2300);
    const text = await exportAll([one.hostId, two.hostId]);
    const verdict = await check(text);
    expect(verdict).toMatchObject({
      isSound: true,
      hosts: [
        { hostName: 'edge-1', first: 1, problem: null },
        { hostName: 'edge-2', problem: null },
      ],
    });
    const lines = text.split('\n');
    const changed = (index: number, change: (line: string) => string | null): string =>
      lines.flatMap((line, at) => (at === index ? (change(line) ?? []) : [line])).join('\n');
    const problems = async (text_: string): Promise<readonly (number | null)[]> =>
      (await check(text_)).hosts.map(({ problem }) => problem?.number ?? null);
    expect(await problems(changed(8, () => null))).toEqual([8, null]);
    expect(await problems(changed(8, (line) => line.replace('"result":"OK"', '"result":"NO"')))).toEqual([8, null]);
    const flipped = changed(8, (line) => {
      const entry = JSON.parse(line) as { bytes: string };
      const bytes = Buffer.from(entry.bytes, 'base64');
      bytes[16] = (bytes[16] ?? 0) ^ 1;
      return JSON.stringify({ ...entry, bytes: bytes.toString('base64') });
    });
    expect(await problems(flipped)).toEqual([8, null]);
    expect(await problems(lines.slice(0, 500).join('\n'))).toEqual([500, 1]);
    const headAt = lines.findIndex((line) => line.startsWith('{"type":"head"'));
    for (const word of ['hash', 'number', 'signedAt', 'certificates', 'signed', 'signature', 'type']) {
      const words = await problems(changed(headAt, (line) => JSON.stringify({ ...(JSON.parse(line) as object), [word]: 'x' })));
      expect(words[0], word).not.toBeNull();
    }
    await expect(check('{"type":"something"}')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('can be checked with openssl and sha256sum alone', async () => {
    const { agent, hostId } = await enroll('edge-1');
    await grow(agent, 3);
    const lines = (await exportAll([hostId]))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    const at = (name: string): string => join(folder, name);
    const entries = lines.filter(({ type }) => type === 'entry');
    const hashes = entries.map((entry, index) => {
      writeFileSync(at(`${String(index)}.bin`), Buffer.from(entry['bytes'] ?? '', 'base64'));
      return execFileSync('sha256sum', [at(`${String(index)}.bin`)], { encoding: 'utf8' }).slice(0, 64);
    });
    for (const [index, entry] of entries.entries())
      if (index > 0)
        expect(
          Buffer.from(entry['bytes'] ?? '', 'base64')
            .subarray(17, 49)
            .toString('hex'),
        ).toBe(hashes[index - 1]);
    const head = lines.at(-1) ?? {};
    expect(head['hash']).toBe(hashes.at(-1));
    writeFileSync(at('root.pem'), lines[0]?.['root'] ?? '');
    writeFileSync(at('leaf.pem'), (head['certificates'] as unknown as string[]).join(''));
    const verify = ['verify', '-CAfile', at('root.pem'), '-untrusted', at('leaf.pem'), at('leaf.pem')];
    expect(execFileSync('openssl', verify, { encoding: 'utf8' })).toContain('OK');
    writeFileSync(at('signed.bin'), Buffer.from(head['signed'] ?? '', 'base64'));
    writeFileSync(at('signature.der'), Buffer.from(head['signature'] ?? '', 'base64'));
    writeFileSync(at('key.pem'), execFileSync('openssl', ['x509', '-in', at('leaf.pem'), '-pubkey', '-noout']));
    expect(
      execFileSync('openssl', ['dgst', '-sha256', '-verify', at('key.pem'), '-signature', at('signature.der'), at('signed.bin')], {
        encoding: 'utf8',
      }),
    ).toContain('Verified OK');
    expect(readFileSync(at('signed.bin')).toString('latin1')).toContain('DSSEv1 18 nest.audit-head.v1 ');
    expect(readFileSync(at('signed.bin')).includes(Buffer.from(hashes.at(-1) ?? '', 'hex'))).toBe(true);
  });
});
