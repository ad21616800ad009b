import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keyIdOf, sealEnvelope, signedBytes } from '../../../proto/model/envelope.ts';
import { envelopeText } from '../../../proto/model/envelope-text.ts';
import { entitlementPayloadType, readEntitlementFile } from './entitlement-file.ts';
import { validAnswer } from './fake-license-server.ts';

const now = 1_750_000_000_000;
const day = 86_400_000;
const desk = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');
const pinned = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('base64');
const context = { publicKeys: [pinned(desk.publicKey)], product: 'nest', fleetId: '01abc', now };

const fileOf = (part: object, by = desk, payloadType = entitlementPayloadType): string => {
  const { license_key: _key, ...answer } = validAnswer(now);
  return envelopeText(sealEnvelope(payloadType, Buffer.from(JSON.stringify({ ...answer, ...part })), [{ ...by, certificateChain: [] }]));
};

describe('an entitlement file', () => {
  it('entitles, with an end and a grace', () => {
    expect(readEntitlementFile(fileOf({ fleet_id: '01ABC', grace_days: 7 }), context)).toMatchObject({
      terms: { hostsMax: 10, features: ['sso'], endsAt: now + 30 * day },
      graceMs: 7 * day,
    });
  });

  it.each([
    ['signed by a stranger', fileOf({}, stranger)],
    ['for another use', fileOf({}, desk, 'nest.intent.v1')],
    ['for another fleet', fileOf({ fleet_id: '01xyz' })],
    ['for another product', fileOf({ product: 'elder' })],
    ['without an end', fileOf({ expires_at: null })],
    ['with a longer grace than allowed', fileOf({ grace_days: 31 })],
    ['from the future', fileOf({ issued_at: new Date(now + 3 * day).toISOString() })],
    ['that grants nothing', fileOf({ valid: false, message: 'void' })],
    ['changed by one byte', fileOf({}).replace(/"payload":"(.)/, (_all, first: string) => `"payload":"${first === 'e' ? 'f' : 'e'}`)],
    ['without a signature', fileOf({}).replace(/"signatures":\[.*\]/, '"signatures":[]')],
    ['that is no file', 'hello'],
    ['that is too long', ' '.repeat(70_000)],
  ])('%s is refused', (_what, text) => {
    expect(() => readEntitlementFile(text, context)).toThrow(expect.objectContaining({ code: 'LICENSE_INVALID' }));
  });

  it('is refused by a build that has no key to check it with', () => {
    expect(() => readEntitlementFile(fileOf({}), { ...context, publicKeys: [] })).toThrow('no key of the licence desk');
    expect(() => readEntitlementFile(fileOf({}), { ...context, publicKeys: ['not a key'] })).toThrow(
      'no key of the licence desk has signed it',
    );
  });

  it('can be made with openssl alone', () => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-entitlement-'));
    const path = (name: string): string => join(folder, name);
    try {
      execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', path('key.pem')], { stdio: 'pipe' });
      const publicKey = createPublicKey(readFileSync(path('key.pem')));
      const payload = Buffer.from(JSON.stringify({ ...validAnswer(now), license_key: undefined }));
      writeFileSync(path('signed'), signedBytes(entitlementPayloadType, payload));
      execFileSync('openssl', ['pkeyutl', '-sign', '-rawin', '-inkey', path('key.pem'), '-in', path('signed'), '-out', path('signature')], {
        stdio: 'pipe',
      });
      const text = JSON.stringify({
        payloadType: entitlementPayloadType,
        payload: payload.toString('base64'),
        signatures: [{ keyId: keyIdOf(publicKey).toString('base64'), signature: readFileSync(path('signature')).toString('base64') }],
      });
      expect(readEntitlementFile(text, { ...context, publicKeys: [pinned(publicKey)] }).terms.hostsMax).toBe(10);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
