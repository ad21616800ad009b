import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NestError } from '../../../proto/model/error.ts';
import { decodeAuditEntry, emptyFact } from '../../../proto/model/audit.ts';
import { createBroadcast } from '../../lib/broadcast.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { Revision, RevisionEvent } from '../revisions/api.ts';
import type { AuditControl, AuditFact } from './api.ts';
import { auditConnection, auditLocal, noteLocalEffects } from './local-effects.ts';
import { allEntries, openTestLog, testFact } from './test-log.ts';
import type { Warnings } from './test-log.ts';

const revision = (number: number, state: Revision['state'], settledAtMs: number | null = null): Revision => ({
  revision: number,
  etag: `e${String(number)}`,
  policyJson: '',
  generation: '',
  state,
  author: 'ada',
  comment: '',
  createdAtMs: 1,
  settledAtMs,
  settledReason: state === 'rolled-back' ? 'Not confirmed in time.' : '',
  mappingCount: 0,
  serviceCount: 0,
});

describe('effects of the agent itself', () => {
  it('are start, stop, what was taken back by the timer or by the start, and enrolments', async () => {
    const facts: AuditFact[] = [];
    const events = createBroadcast<RevisionEvent>(8);
    let listener = (): void => undefined;
    let isOpen = false;
    const current = revision(4, 'confirmed');
    const noting = noteLocalEffects({
      audit: { note: (fact) => void facts.push(fact) },
      identity: {
        identity: () => null,
        enrollment: () => (isOpen ? { fingerprint: '', expiresAtMs: 1, attemptsLeft: 5 } : null),
        onChanged: (told) => {
          listener = told;
          return () => undefined;
        },
      },
      revisions: {
        current: () => current,
        list: () => [current, revision(3, 'rolled-back', 150), revision(2, 'rolled-back', 50)],
        watch: async function* (signal) {
          for await (const { value } of events.subscribe(signal)) yield value;
        },
      },
      agentVersion: '1.2.3',
      startedAtMs: 100,
      onFailed: (error) => {
        throw error;
      },
    });
    await new Promise((resolve) => setImmediate(resolve));
    events.publish({ revision: current, pending: null });
    events.publish({ revision: revision(5, 'pending'), pending: null });
    events.publish({ revision: revision(5, 'rolled-back', 200), pending: null });
    isOpen = true;
    listener();
    while (facts.length < 4) await new Promise((resolve) => setImmediate(resolve));
    await noting[Symbol.asyncDispose]();
    expect(facts.every(({ actor }) => actor === 'agent')).toBe(true);
    expect(facts.map(({ action, target, detail }) => [action, target, detail].join(' ').trim()).toSorted()).toEqual([
      'agent.started  1.2.3',
      'agent.stopped',
      'enrollment.opened',
      'revision.rolled-back revision=3 Not confirmed in time.',
      'revision.rolled-back revision=5 Not confirmed in time.',
    ]);
    expect(facts.find(({ target }) => target === 'revision=5')).toMatchObject({ revisionBefore: 5, revisionAfter: 4 });
  });
});

describe('effects on the host', () => {
  let stateDir: string;
  const opened: AuditControl[] = [];
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nest-effects-'));
  });
  afterEach(async () => {
    for (const log of opened.splice(0)) await log.close();
    await rm(stateDir, { recursive: true });
  });

  it('are durable before a local command begins, and say how it ended', async () => {
    const log = await openTestLog(stateDir);
    opened.push(log);
    const seen = await auditLocal(log, 'enrollment.join', async () => log.extent().last);
    const refused = auditLocal(log, 'enrollment.join', () => Promise.reject(new NestError('TOKEN_USED', 'used')));
    await expect(refused).rejects.toMatchObject({ code: 'TOKEN_USED' });
    auditConnection(log, {
      kind: 'connection',
      isAccepted: false,
      source: '198.18.0.9',
      subject: '',
      action: 'fleet',
      code: 'CERTIFICATE_MISSING',
    });
    auditConnection(log, { kind: 'connection', isAccepted: true, source: '198.18.0.9', subject: 's', action: 'fleet', code: 'OK' });
    await log.append(testFact(1), { durable: true });
    const said = (await allEntries(log)).map(decodeAuditEntry);
    const uid = String(process.getuid?.());
    expect(seen).toBe(1);
    expect(said.slice(0, 4)).toMatchObject([
      { actor: `local:${uid}`, result: 'started' },
      { actor: `local:${uid}`, result: 'OK', opening: 1 },
      { result: 'started' },
      { result: 'TOKEN_USED', opening: 3 },
    ]);
    expect(said.filter(({ action }) => action === 'connection')).toMatchObject([
      { source: '198.18.0.9', result: 'CERTIFICATE_MISSING', target: 'fleet' },
    ]);
  });

  it('are refused while the log cannot be opened, and the agent goes on; what it did meanwhile is written later', async () => {
    const clock = createManualClock();
    const warnings: Warnings = new Map();
    await writeFile(join(stateDir, 'audit'), 'a file where the folder should be');
    const log = await openTestLog(stateDir, { clock, warnings });
    opened.push(log);
    await expect(log.append(testFact(1), { durable: true })).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    log.note({ ...emptyFact, actor: 'agent', action: 'revision.rolled-back' });
    expect([log.extent(), warnings.has('AUDIT_FAILED')]).toEqual([{ first: 0, last: 0 }, true]);
    await rm(join(stateDir, 'audit'));
    await log.append(testFact(1), { durable: true });
    await log.append(testFact(2), { durable: true });
    expect((await allEntries(log)).map((bytes) => decodeAuditEntry(bytes).action)).toContain('revision.rolled-back');
    expect([await log.verify(), warnings.size]).toMatchObject([{ first: 1, problem: null }, 0]);
  });
});
