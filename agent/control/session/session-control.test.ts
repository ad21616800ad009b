import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AccessBody } from '../../../proto/model/access/body.ts';
import { bodyOf, makeOwner, signerOf } from '../../../proto/model/access/test-bundle.ts';
import { hashesOf, intentsAct } from '../../../proto/model/act.ts';
import type { AuditFact } from '../../../proto/model/audit.ts';
import { sealGrant } from '../../../proto/model/break-glass.ts';
import type { BreakGlassGrant } from '../../../proto/model/break-glass.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { sealStepUp, sessionLifeMs, statementTexts, stepUpLifeMs, stepUpType } from '../../../proto/model/step-up.ts';
import type { StepUpStatement } from '../../../proto/model/step-up.ts';
import { makeRecoverySet, totpCode, totpStepAt, totpStepMs } from '../../../proto/model/totp.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { systemRandom } from '../../lib/random.ts';
import type { AccessCaller, AccessControl, SignedEnvelope } from '../access/api.ts';
import type { AgentIdentity } from '../identity/api.ts';
import { createTestFleet } from '../identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../identity/test-fleet.ts';
import type { SessionControl } from './api.ts';
import { createSessionControl } from './session-control.ts';

const fleetId = '01jz000000000000000000000a';
const agentIds = [1, 2, 3, 4].map((index) => `01JZ000000000000000000000${String(index)}`);
const [first = '', second = '', third = '', stranger = ''] = agentIds;
const factorId = '01JZ000000000000000000000F';
const secret = Buffer.alloc(20, 9);
const recovery = makeRecoverySet((bytes) => systemRandom.bytes(bytes));
const device = 'ab'.repeat(32);
const ada: AccessCaller = { subject: `spiffe://${fleetId}/operator/ada`, kind: 'operator', device };
const bob: AccessCaller = { subject: `spiffe://${fleetId}/operator/bob`, kind: 'operator', device: 'cd'.repeat(32) };
const owner = makeOwner('operator/ada');
const certificateHash = Buffer.alloc(32, 1);

let fleet: TestFleet;
const certificates = new Map<string, TestCertificate>();
let clock: ManualClock;
let body: AccessBody;
const folders: string[] = [];
const opened: SessionControl[] = [];
const facts: AuditFact[] = [];
const warnings = new Map<string, string>();
const listeners = new Set<() => void>();

const withFactor = (): AccessBody => {
  const whole = bodyOf([owner], { operators: [{ subject: 'operator/bob', title: '', factor: undefined }] });
  const factor = { id: factorId, witnesses: [first, second, third], enrolledAtMs: 1n };
  return { ...whole, operators: whole.operators.map((one) => (one.subject === 'operator/ada' ? { ...one, factor } : one)) };
};

const change = (next: AccessBody): void => {
  body = next;
  for (const listener of listeners) listener();
};

const identityOf = (agentId: string): AgentIdentity => {
  const certificate = certificates.get(agentId);
  if (certificate === undefined) throw new Error('no certificate');
  return {
    agentId,
    fleetId,
    certificate: certificate.certificatePem,
    certificateChain: certificate.certificatePem,
    privateKey: certificate.keyPem,
    fleetRoot: fleet.root.certificatePem,
    endsAtMs: 0,
    fingerprint: '',
  };
};

const isLocked = ({ subject, device: key }: AccessCaller): boolean =>
  body.locks.some(({ target }) => subject.endsWith(`/${target}`) || target === `device/${key}`);

const open = async (agentId: string, stateDir?: string): Promise<SessionControl> => {
  const folder = stateDir ?? (await mkdtemp(join(tmpdir(), 'nest-session-')));
  folders.push(folder);
  const access = {
    body: () => body,
    head: () => ({ epoch: 1, revision: 1, hash: '', issuedAtMs: 0, notAfterMs: 0, isStale: false }),
    isLocked,
    onChanged: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as unknown as AccessControl;
  const control = await createSessionControl({
    stateDir: folder,
    identity: { identity: () => identityOf(agentId), isCertificateRevoked: () => false },
    access,
    audit: { note: (fact) => void facts.push(fact) },
    clock,
    log: silentLogger,
    raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
  });
  opened.push(control);
  return control;
};

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'OK';
  } catch (error) {
    return errorCodeOf(error);
  }
};

const enrolled = async (...ids: readonly string[]): Promise<SessionControl[]> => {
  const witnesses = await Promise.all(ids.map((id) => open(id)));
  for (const witness of witnesses) witness.enroll(ada, { factorId, secret, recoverySalt: recovery.salt, recoveryHashes: recovery.hashes });
  return witnesses;
};

const ask = (witness: SessionControl, more: { readonly actionHash?: string; readonly hostSetHash?: string } = {}): SignedEnvelope =>
  witness.stepUp(ada, {
    factorId,
    code: totpCode(secret, totpStepAt(clock.nowMs())),
    actionHash: '',
    hostSetHash: '',
    timeMs: clock.nowMs(),
    ...more,
  }).statement;

const show = (agent: SessionControl, statements: readonly SignedEnvelope[], caller = ada): string =>
  codeOf(() => agent.authenticate(caller, { certificateHash, statements, timeMs: clock.nowMs() }));

const statement = (more: Partial<StepUpStatement> = {}): StepUpStatement => ({
  fleetId,
  subject: 'operator/ada',
  device,
  factorId,
  witness: first,
  notBeforeMs: Math.round(clock.nowMs()),
  expiresAtMs: Math.round(clock.nowMs()) + stepUpLifeMs,
  actionHash: '',
  hostSetHash: '',
  ...more,
});

const agentSigner = (agentId: string): Parameters<typeof sealStepUp>[1] => {
  const { keyPem, certificateDer } = certificates.get(agentId) as TestCertificate;
  const privateKey = createPrivateKey(keyPem);
  const issuer = Buffer.from(fleet.authorities.agents.certificate.rawData);
  return { privateKey, publicKey: createPublicKey(privateKey), certificateChain: [certificateDer, issuer] };
};

beforeAll(async () => {
  fleet = await createTestFleet(fleetId);
  for (const id of agentIds) certificates.set(id, await fleet.operator(id, { uris: [`spiffe://${fleetId}/agent/${id}`], under: 'agents' }));
});
beforeEach(() => {
  clock = createManualClock(Date.now());
  body = withFactor();
  facts.length = 0;
  warnings.clear();
});
afterEach(async () => {
  for (const control of opened.splice(0)) control.close();
  listeners.clear();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe('a session', () => {
  it('is given for two of three witnesses, by any agent of the fleet', async () => {
    const [a, b, c] = (await enrolled(first, second, third)) as [SessionControl, SessionControl, SessionControl];
    const statements = [ask(a), ask(b), ask(c)];
    const agent = await open(stranger);
    expect([show(agent, statements), show(agent, statements.slice(1)), show(agent, statements.slice(2))]).toEqual([
      'OK',
      'OK',
      'MFA_REQUIRED',
    ]);
    expect(show(agent, [statements[0], statements[0]])).toBe('MFA_REQUIRED');
    expect([agent.needsStepUp(ada), agent.needsStepUp(bob)]).toEqual([true, false]);
  });

  it('is worth nothing with another certificate, for another caller, on another agent, or after its agent was started again', async () => {
    const [a, b] = (await enrolled(first, second)) as [SessionControl, SessionControl];
    const agent = await open(stranger);
    const { token } = agent.authenticate(ada, { certificateHash, statements: [ask(a), ask(b)], timeMs: clock.nowMs() });
    expect(agent.session(ada, certificateHash, token)).toEqual({ isFresh: true });
    const forged = `${token.slice(0, -4)}AAAA`;
    expect([
      codeOf(() => agent.session(ada, Buffer.alloc(32, 2), token)),
      codeOf(() => agent.session(bob, certificateHash, token)),
      codeOf(() => a.session(ada, certificateHash, token)),
      codeOf(() => agent.session(ada, certificateHash, forged)),
      codeOf(() => agent.session(ada, certificateHash, 'x'.repeat(5_000))),
    ]).toEqual(Array.from({ length: 5 }, () => 'SESSION_INVALID'));
  });

  it('is fresh for five minutes and lives for fifteen, whatever the clock of the host does', async () => {
    const [a, b] = (await enrolled(first, second)) as [SessionControl, SessionControl];
    const agent = await open(stranger);
    const { token } = agent.authenticate(ada, { certificateHash, statements: [ask(a), ask(b)], timeMs: clock.nowMs() });
    clock.advance(stepUpLifeMs - 2_000);
    expect(agent.session(ada, certificateHash, token)).toEqual({ isFresh: true });
    clock.advance(4_000);
    expect(agent.session(ada, certificateHash, token)).toEqual({ isFresh: false });
    clock.advance(sessionLifeMs - stepUpLifeMs);
    expect(codeOf(() => agent.session(ada, certificateHash, token))).toBe('SESSION_INVALID');
  });

  it('ends with what its operator may do', async () => {
    const [a, b] = (await enrolled(first, second)) as [SessionControl, SessionControl];
    const { token } = a.authenticate(ada, { certificateHash, statements: [ask(a), ask(b)], timeMs: clock.nowMs() });
    change({ ...body, operators: body.operators.map((one) => ({ ...one, title: one.subject === 'operator/bob' ? 'Bob' : one.title })) });
    expect(codeOf(() => a.session(ada, certificateHash, token))).toBe('OK');
    change({ ...body, bindings: [...body.bindings, { id: 'more', subject: 'operator/ada', role: 'viewer', level: '*' }] });
    expect(codeOf(() => a.session(ada, certificateHash, token))).toBe('SESSION_INVALID');
  });
});

describe('statements', () => {
  it('are refused when they expired, are for another device or operator, or would count for too long', async () => {
    const [a, b] = (await enrolled(first, second)) as [SessionControl, SessionControl];
    const statements = [ask(a), ask(b)];
    const agent = await open(stranger);
    expect(show(agent, statements, { ...ada, device: 'ef'.repeat(32) })).toBe('MFA_REQUIRED');
    expect(show(agent, statements, bob)).toBe('MFA_REQUIRED');
    clock.advance(stepUpLifeMs);
    expect(show(agent, statements)).toBe('MFA_REQUIRED');
    const long = (witness: string): SignedEnvelope =>
      sealStepUp(statement({ witness, expiresAtMs: Math.round(clock.nowMs()) + stepUpLifeMs + 1_000 }), agentSigner(witness));
    expect(show(agent, [long(first), long(second)])).toBe('MFA_REQUIRED');
  });

  it('are refused when a witness signed for another, or no witness, no agent, or another fleet did', async () => {
    const agent = await open(stranger);
    const good = (witness: string): SignedEnvelope => sealStepUp(statement({ witness }), agentSigner(witness));
    expect(show(agent, [good(first), good(second)])).toBe('OK');
    const forOther = sealStepUp(statement({ witness: second }), agentSigner(first));
    expect(show(agent, [good(first), forOther])).toBe('CERTIFICATE_INVALID');
    expect(show(agent, [good(first), good(stranger)])).toBe('CERTIFICATE_INVALID');
    const person = await fleet.operator('mallory', { under: 'operators', uris: [`spiffe://${fleetId}/operator/${second}`] });
    const key = createPrivateKey(person.keyPem);
    const chain = [person.certificateDer, Buffer.from(fleet.authorities.operators.certificate.rawData)];
    const signer = { privateKey: key, publicKey: createPublicKey(key), certificateChain: chain };
    expect(show(agent, [good(first), sealStepUp(statement({ witness: second }), signer)])).toBe('CERTIFICATE_INVALID');
    const other = await createTestFleet(fleetId);
    const foreign = await other.operator(second, { uris: [`spiffe://${fleetId}/agent/${second}`], under: 'agents' });
    const foreignKey = createPrivateKey(foreign.keyPem);
    const foreignChain = [foreign.certificateDer, Buffer.from(other.authorities.agents.certificate.rawData)];
    const foreignSigner = { privateKey: foreignKey, publicKey: createPublicKey(foreignKey), certificateChain: foreignChain };
    expect(show(agent, [good(first), sealStepUp(statement({ witness: second }), foreignSigner)])).toBe('CERTIFICATE_INVALID');
    const changed = good(second);
    const payload = Buffer.from(JSON.stringify(statement({ witness: second, device: 'ef'.repeat(32) })));
    expect(show(agent, [good(first), { ...changed, payload }])).toBe('CERTIFICATE_INVALID');
    expect(show(agent, [good(first), sealEnvelope('nest.intent.v1', changed.payload, [agentSigner(second)])])).toBe('INPUT_INVALID');
    expect(stepUpType).toBe('nest.step-up.v1');
  });

  it('are refused with the clock as the reason when it is more than five minutes off', async () => {
    const [witness] = (await enrolled(first)) as [SessionControl];
    const question = { factorId, code: totpCode(secret, totpStepAt(clock.nowMs())), actionHash: '', hostSetHash: '' };
    const skewed = (byMs: number): string => codeOf(() => witness.stepUp(ada, { ...question, timeMs: clock.nowMs() + byMs }));
    expect([skewed(10 * 60_000), skewed(-10 * 60_000)]).toEqual(['CLOCK_SKEWED', 'CLOCK_SKEWED']);
    const agent = await open(stranger);
    const ahead = (id: string): SignedEnvelope => {
      const notBeforeMs = Math.round(clock.nowMs()) + 10 * 60_000;
      return sealStepUp(statement({ witness: id, notBeforeMs, expiresAtMs: notBeforeMs + stepUpLifeMs }), agentSigner(id));
    };
    expect(show(agent, [ahead(first), ahead(second)])).toBe('CLOCK_SKEWED');
    // A refusal for the clock spends no code.
    expect(skewed(0)).toBe('OK');
  });

  it('for one act are good for that act and those hosts alone, and open no session', async () => {
    const [a, b] = (await enrolled(first, second)) as [SessionControl, SessionControl];
    const act = intentsAct({ fleetId, policy: '{}', hostIds: [first, second] });
    const hashes = hashesOf(act);
    const statements = statementTexts([ask(a, hashes), ask(b, hashes)]);
    const agent = await open(stranger);
    const check = (about: typeof act, shown: readonly string[] | null, atMs = clock.nowMs()): string =>
      codeOf(() => agent.checkAct({ subject: ada.subject, device, act: about, atMs, statements: shown }));
    expect([check(act, statements), check(act, null), check(act, statements.slice(1))]).toEqual(['OK', 'MFA_REQUIRED', 'MFA_REQUIRED']);
    expect(check(intentsAct({ fleetId, policy: '{ }', hostIds: [first, second] }), statements)).toBe('MFA_REQUIRED');
    expect(check(intentsAct({ fleetId, policy: '{}', hostIds: [first, second, third] }), statements)).toBe('MFA_REQUIRED');
    expect(check(act, statements, clock.nowMs() + 20 * 60_000)).toBe('MFA_REQUIRED');
    // Delivered a day later it is still the act that was approved.
    const atMs = clock.nowMs();
    clock.advance(6 * 3_600_000);
    expect(check(act, statements, atMs)).toBe('OK');
    expect(codeOf(() => agent.checkAct({ subject: bob.subject, device: bob.device, act, atMs, statements: null }))).toBe('OK');
    clock.advance(totpStepMs);
    const opening = [ask(a, hashes), ask(b, hashes)];
    expect(show(agent, opening)).toBe('MFA_REQUIRED');
  });
});

describe('who needs a second factor', () => {
  it('is who has one, and everybody when the owners say so', async () => {
    const agent = await open(first);
    const client: AccessCaller = { ...bob, kind: 'client' };
    expect([ada, bob, client].map((caller) => agent.needsStepUp(caller))).toEqual([true, false, false]);
    change({ ...body, stepUpRequired: true });
    expect([ada, bob, client].map((caller) => agent.needsStepUp(caller))).toEqual([true, true, false]);
    change({ ...body, dangerousScopes: ['hosts:admin', 'dbgw:*'] });
    expect(['hosts:admin', 'hosts:read', 'dbgw.secrets:read', 'mappings:write'].map((scope) => agent.isDangerous(scope))).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});

describe('a break-glass grant', () => {
  const grantOf = (more: Partial<BreakGlassGrant> = {}): BreakGlassGrant => ({
    grantId: '01JZ000000000000000000000G',
    fleetId,
    holder: 'operator/bob',
    level: `host/${first}`,
    reason: 'witnesses lost',
    notBeforeMs: Math.round(clock.nowMs()),
    expiresAtMs: Math.round(clock.nowMs()) + 3_600_000,
    ...more,
  });
  const useAs = async (agent: SessionControl, grant: BreakGlassGrant, { caller = bob, by = owner.signer }): Promise<string> => {
    try {
      await agent.useGrant(caller, sealGrant(grant, [by]));
      return 'OK';
    } catch (error) {
      return errorCodeOf(error);
    }
  };

  const use = (agent: SessionControl, grant: BreakGlassGrant): Promise<string> => useAs(agent, grant, {});

  it('holds for one device until it ends, is told, survives a restart and needs no second factor', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'nest-session-'));
    change({ ...body, stepUpRequired: true });
    const agent = await open(first, stateDir);
    expect(await use(agent, grantOf())).toBe('OK');
    expect([agent.needsStepUp(bob), agent.grantOf(bob)?.reason, agent.grantOf(ada)]).toEqual([false, 'witnesses lost', null]);
    expect(await useAs(agent, grantOf(), { caller: { ...bob, device: 'ef'.repeat(32) } })).toBe('REVOKED');
    expect(warnings.get('BREAK_GLASS')).toContain('witnesses lost');
    expect(facts).toMatchObject([{ actor: bob.subject, action: 'break-glass.used', detail: 'witnesses lost' }]);
    agent.close();
    clock.advance(1_800_000);
    const again = await open(first, stateDir);
    expect(again.grants()).toMatchObject([{ operator: bob.subject, device: bob.device }]);
    clock.advance(1_800_000);
    expect([again.grantOf(bob), again.grants(), warnings.has('BREAK_GLASS')]).toEqual([null, [], false]);
    expect(facts.at(-1)).toMatchObject({ action: 'break-glass.ended' });
    expect(await use(again, grantOf({ notBeforeMs: Math.round(clock.nowMs()) - 3_600_000, expiresAtMs: Math.round(clock.nowMs()) }))).toBe(
      'SESSION_INVALID',
    );
  });

  it('is refused for another host, holder or fleet, for too long, from the future, and from who owns nothing', async () => {
    const agent = await open(first);
    expect([
      await use(agent, grantOf({ level: `host/${second}` })),
      await use(agent, grantOf({ level: '*' })),
      await use(agent, grantOf({ holder: 'operator/ada' })),
      await use(agent, grantOf({ fleetId: '01jz000000000000000000000b' })),
      await use(agent, grantOf({ expiresAtMs: Math.round(clock.nowMs()) + 3_601_000 })),
      await use(agent, grantOf({ notBeforeMs: Math.round(clock.nowMs()) + 600_000, expiresAtMs: Math.round(clock.nowMs()) + 700_000 })),
      await useAs(agent, grantOf(), { by: makeOwner('operator/ada').signer }),
      await useAs(agent, grantOf(), { by: signerOf(agentSigner(first)) }),
    ]).toEqual([
      'SCOPE_MISSING',
      'SCOPE_MISSING',
      'SCOPE_MISSING',
      'FLEET_MISMATCH',
      'ACCESS_INVALID',
      'CLOCK_SKEWED',
      'ACCESS_INVALID',
      'ACCESS_INVALID',
    ]);
    expect(agent.grants()).toEqual([]);
  });

  it('takes as many owners as a change of access, and ends with a lock', async () => {
    const other = makeOwner('operator/eve');
    change({ ...bodyOf([owner, other], { ownerThreshold: 2, operators: [{ subject: 'operator/bob', title: '', factor: undefined }] }) });
    const agent = await open(first);
    expect(await use(agent, grantOf())).toBe('ACCESS_INVALID');
    await agent.useGrant(bob, sealGrant(grantOf(), [owner.signer, other.signer]));
    expect(agent.grantOf(bob)).not.toBeNull();
    change({ ...body, locks: [{ id: 'l', target: 'operator/bob', reason: '', sinceMs: 1n }] });
    expect([agent.grantOf(bob), agent.grants(), warnings.has('BREAK_GLASS')]).toEqual([null, [], false]);
    expect(facts.at(-1)).toMatchObject({ actor: bob.subject, action: 'break-glass.ended' });
    expect(await use(agent, grantOf({ grantId: '01JZ000000000000000000000H' }))).toBe('ACCESS_INVALID');
  });
});
