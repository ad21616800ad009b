import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { envelopeSignaturesMax, keyIdOf, sealEnvelope, verifyEnvelope } from './envelope.ts';
import type { EnvelopeSigner } from './envelope.ts';

const type = 'nest.test.v1';
const payload = Buffer.from('exact bytes');
const signerOf = (kind: 'ed25519' | 'p256'): EnvelopeSigner => ({
  ...(kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  certificateChain: [],
});
const known =
  (...signers: readonly EnvelopeSigner[]) =>
  ({ keyId }: { readonly keyId: Uint8Array }) =>
    signers.find(({ publicKey }) => keyIdOf(publicKey).equals(keyId))?.publicKey ?? null;

describe('a signed envelope', () => {
  it.each(['ed25519', 'p256'] as const)('holds for its %s signer and no other key', (kind) => {
    const [signer, other] = [signerOf(kind), signerOf(kind)];
    const envelope = sealEnvelope(type, payload, [signer]);
    expect([...verifyEnvelope(envelope, type, known(signer))]).toEqual([keyIdOf(signer.publicKey).toString('hex')]);
    expect(verifyEnvelope(envelope, type, known(other)).size).toBe(0);
    expect(verifyEnvelope(envelope, type, () => other.publicKey).size).toBe(0);
    expect(envelope.signatures[0]?.signature.length).toBe(64);
  });

  it('counts a signer once, however often it signs', () => {
    const signer = signerOf('ed25519');
    const envelope = sealEnvelope(type, payload, [signer, signer]);
    expect(verifyEnvelope(envelope, type, known(signer)).size).toBe(1);
  });

  it('does not hold when one bit of it differs', () => {
    const signer = signerOf('p256');
    const envelope = sealEnvelope(type, payload, [signer]);
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const changed = Buffer.from(payload);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifyEnvelope({ ...envelope, payload: changed }, type, known(signer)).size).toBe(0);
    }
  });

  it('is worth nothing for another use, and refused beyond its limits', () => {
    const signer = signerOf('ed25519');
    const envelope = sealEnvelope(type, payload, [signer]);
    expect(() => verifyEnvelope(envelope, 'nest.other.v1', known(signer))).toThrow(/not for/);
    expect(verifyEnvelope({ ...envelope, payloadType: 'nest.other.v1' }, 'nest.other.v1', known(signer)).size).toBe(0);
    const signatures = Array.from({ length: envelopeSignaturesMax + 1 }, () => envelope.signatures).flat();
    expect(() => verifyEnvelope({ ...envelope, signatures }, type, known(signer))).toThrow(/more signatures/);
  });

  it('is not made with other kinds of keys', () => {
    const rsa = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }), certificateChain: [] };
    expect(() => sealEnvelope(type, payload, [rsa])).toThrow(/Ed25519 or P-256/);
  });
});
