import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import {
  auditGenesis,
  auditHeadType,
  auditText,
  auditTextBytesMax,
  decodeAuditEntry,
  emptyFact,
  encodeAuditEntry,
  extendChain,
  readAuditHead,
  sealAuditHead,
} from './audit.ts';
import type { AuditEntry } from './audit.ts';
import { keyIdOf, verifyEnvelope } from './envelope.ts';

const entry = (number: number, more: Partial<AuditEntry> = {}): AuditEntry => ({
  ...emptyFact,
  number,
  atMs: 1_790_000_000_000 + number,
  actor: 'spiffe://01jz000000000000000000000a/operator/ada',
  device: 'ab'.repeat(32),
  source: '198.18.0.7',
  action: '/nest.v1.ConfigService/ApplyConfig',
  target: 'planHash=cd',
  requestHash: createHash('sha256').update('x').digest(),
  revisionBefore: 0,
  revisionAfter: 3,
  opening: 7,
  detail: 'größer ≤ 5',
  ...more,
});

describe('audit entries', () => {
  it('come back from their bytes as they were', () => {
    const whole = entry(5);
    const bare = entry(2 ** 40 + 1, { ...emptyFact });
    expect(decodeAuditEntry(encodeAuditEntry(whole, auditGenesis.hash))).toEqual(whole);
    expect(decodeAuditEntry(encodeAuditEntry(bare, auditGenesis.hash))).toEqual({ ...bare, requestHash: Buffer.alloc(0) });
  });

  it('have one encoding: bytes behind, bytes missing and broken text are refused', () => {
    const bytes = encodeAuditEntry(entry(1), auditGenesis.hash);
    const text = Buffer.from(bytes);
    text[text.length - 1] = 0xff;
    for (const wrong of [Buffer.concat([bytes, Buffer.alloc(1)]), bytes.subarray(0, -1), bytes.subarray(0, 40), text, Buffer.alloc(0)])
      expect(() => decodeAuditEntry(wrong)).toThrow(expect.objectContaining({ code: 'AUDIT_BROKEN' }));
  });

  it('cuts long texts between characters', () => {
    const cut = auditText(`x${'ü'.repeat(auditTextBytesMax)}`);
    expect([Buffer.byteLength(cut) <= auditTextBytesMax, cut.endsWith('ü'), cut.length]).toEqual([true, true, 512]);
    const decoded = decodeAuditEntry(encodeAuditEntry(entry(1, { detail: 'ü'.repeat(5000) }), auditGenesis.hash));
    expect(decoded.detail).toBe('ü'.repeat(512));
  });

  it('form a chain that names the first entry that does not fit', () => {
    const first = encodeAuditEntry(entry(1), auditGenesis.hash);
    const end = extendChain(auditGenesis, first);
    const second = encodeAuditEntry(entry(2), end.hash);
    expect(extendChain(end, second).number).toBe(2);
    const skipped = encodeAuditEntry(entry(3), end.hash);
    const forged = encodeAuditEntry(entry(2), Buffer.alloc(32, 1));
    expect(() => extendChain(end, skipped)).toThrow(expect.objectContaining({ code: 'AUDIT_BROKEN', details: { number: 2 } }));
    expect(() => extendChain(end, forged)).toThrow(expect.objectContaining({ code: 'AUDIT_BROKEN', details: { number: 1 } }));
  });

  it('end in a head whose signature holds for nothing else', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const head = { agentId: 'A', fleetId: 'f', number: 9, hash: Buffer.alloc(32, 5), atMs: 12 };
    const bytes = sealAuditHead(head, { privateKey, publicKey, certificateChain: [] });
    expect(readAuditHead(bytes)).toEqual(head);
    const envelope = SignedEnvelope.decode(bytes);
    expect(verifyEnvelope(envelope, auditHeadType, () => publicKey)).toEqual(new Set([keyIdOf(publicKey).toString('hex')]));
    envelope.payload[3] = (envelope.payload[3] ?? 0) ^ 1;
    expect(verifyEnvelope(envelope, auditHeadType, () => publicKey).size).toBe(0);
    expect(() => readAuditHead(Buffer.from('nonsense'))).toThrow(expect.objectContaining({ code: 'AUDIT_BROKEN' }));
  });
});
