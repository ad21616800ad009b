/**
 * The two files by which a device joins a fleet: a request signed by the device's own key, and a grant signed by the device of an
 * operator of the fleet. Both are signed envelopes as JSON text; what is secret in a grant is encrypted to the device that asked.
 */
import {
  X509Certificate,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto';
import { z } from 'zod';
import type { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { checkCertificatePath, clientUsage } from '../../../proto/model/certificate-path.ts';
import { keyIdOf, sealEnvelope, verifyEnvelope } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { revocationSchema } from '../authority/revocation-list.ts';

const requestType = 'nest.device-request.v1';
const grantType = 'nest.device-grant.v1';
/** A grant carries the inventory: about 400 bytes a host. */
export const deviceFileCharactersMax = 8 << 20;
/** A request or grant older than this is not taken. */
export const deviceFileLifeMs = 7 * 86_400_000;
const skewMs = 10 * 60_000;
const boxInfo = 'nest device grant 1';

const requestSchema = z.strictObject({
  operatorName: z.string().min(1).max(63),
  /** PKCS#10, DER. */
  signingRequest: z.base64(),
  /** X25519 SPKI, DER, for what is secret in the grant; null: nothing secret is wanted. */
  sealingKey: z.nullable(z.base64()),
  at: z.number(),
});
export type DeviceRequest = z.output<typeof requestSchema>;

const hostSchema = z.strictObject({
  hostId: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  name: z.string().min(1).max(63),
  address: z.string().min(1).max(270),
  port: z.int().min(1).max(65_535),
  labels: z.array(z.string().min(1).max(63)).max(16),
  spkiSha256: z.string().regex(/^[0-9a-f]{64}$/),
  certificateEndsAt: z.number(),
  enrolledAt: z.number(),
  cluster: z.optional(z.string()),
  issuedBy: z.optional(z.enum(['root', 'agents'])),
  certificateSerial: z.optional(z.string()),
});

const grantSchema = z.strictObject({
  fleetId: z.string(),
  fleetName: z.string(),
  operatorName: z.string(),
  /** PEM. */
  root: z.string(),
  authorities: z.strictObject({ agents: z.string(), operators: z.string() }),
  /** Leaf and its issuer, PEM. */
  certificate: z.string(),
  revocation: revocationSchema,
  /** The last step of a change of the root, if there ever was one: base64 of its envelope. */
  rootChange: z.optional(z.base64()),
  hosts: z.array(hostSchema).max(100_000),
  /** Private keys of authorities, encrypted to the device; null when it gets none. */
  box: z.nullable(z.strictObject({ key: z.base64(), nonce: z.base64(), text: z.base64() })),
  at: z.number(),
});
export type DeviceGrant = z.output<typeof grantSchema>;

const sharedSchema = z.strictObject({ agents: z.nullable(z.string()), operators: z.nullable(z.string()) });
export type SharedKeys = z.output<typeof sharedSchema>;

const envelopeSchema = z.strictObject({
  payloadType: z.string().max(64),
  payload: z.base64(),
  signatures: z.array(z.strictObject({ keyId: z.base64(), signature: z.base64(), certificateChain: z.array(z.base64()).max(4) })).max(8),
});

/** Text of a request, signed by the device's key (PEM). */
export const writeRequest = (request: DeviceRequest, privateKey: string): string => seal(requestType, request, { privateKey, chain: [] });

/** Text of a grant, signed by the operator's device that admits. */
export const writeGrant = (grant: DeviceGrant, signer: { readonly privateKey: string; readonly chain: readonly Uint8Array[] }): string =>
  seal(grantType, grant, signer);

/** A request whose signature is by the key it asks a certificate for. Raises INPUT_INVALID, PROOF_INVALID. */
export const readRequest = (text: string, spkiOf: (request: DeviceRequest) => Uint8Array, now: number): DeviceRequest => {
  const envelope = parseEnvelope(text, requestType);
  const request = parsePayload(requestSchema, envelope);
  const publicKey = createPublicKey({ key: Buffer.from(spkiOf(request)), format: 'der', type: 'spki' });
  if (verifyEnvelope(envelope, requestType, () => publicKey).size !== 1) throw unsigned();
  refuseOld(request.at, now);
  return request;
};

/**
 * A grant signed by an operator of the fleet whose root it carries; whether that root is the right one only a person can say.
 * Raises INPUT_INVALID, PROOF_INVALID.
 */
export const readGrant = (text: string, now: number): DeviceGrant => {
  const envelope = parseEnvelope(text, grantType);
  const grant = parsePayload(grantSchema, envelope);
  refuseOld(grant.at, now);
  const roots = [new X509Certificate(grant.root)];
  const holding = verifyEnvelope(envelope, grantType, ({ certificateChain }) => {
    const { leaf, identity } = checkCertificatePath(certificateChain, { roots, fleetId: grant.fleetId, nowMs: now, usage: clientUsage });
    return identity.kind === 'operator' ? leaf.publicKey : null;
  });
  if (holding.size === 0) throw unsigned();
  return grant;
};

/** A key pair that a grant can be encrypted to: PKCS#8 PEM and SPKI DER. */
export const makeSealingKey = (): { readonly privateKey: string; readonly publicKey: Uint8Array } => {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  };
};

/** Encrypts authorities' keys to the device: X25519, HKDF-SHA-256, AES-256-GCM. */
export const sealKeys = (keys: SharedKeys, sealingKey: Uint8Array, random: RandomBytes): NonNullable<DeviceGrant['box']> => {
  const ephemeral = generateKeyPairSync('x25519');
  const recipient = createPublicKey({ key: Buffer.from(sealingKey), format: 'der', type: 'spki' });
  const nonce = random(12);
  const key = ephemeral.publicKey.export({ type: 'spki', format: 'der' });
  const cipher = createCipheriv(
    'aes-256-gcm',
    boxKey(diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient }), key),
    nonce,
  );
  const text = Buffer.concat([cipher.update(JSON.stringify(keys), 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { key: key.toString('base64'), nonce: Buffer.from(nonce).toString('base64'), text: text.toString('base64') };
};

/** Raises PROOF_INVALID when the box is for another device. */
export const openKeys = (box: NonNullable<DeviceGrant['box']>, sealingKey: string): SharedKeys => {
  const [key, text] = [Buffer.from(box.key, 'base64'), Buffer.from(box.text, 'base64')];
  try {
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
    const secret = diffieHellman({ privateKey: createPrivateKey(sealingKey), publicKey });
    const decipher = createDecipheriv('aes-256-gcm', boxKey(secret, key), Buffer.from(box.nonce, 'base64'));
    decipher.setAuthTag(text.subarray(-16));
    return sharedSchema.parse(JSON.parse(Buffer.concat([decipher.update(text.subarray(0, -16)), decipher.final()]).toString()));
  } catch (error) {
    throw new NestError('PROOF_INVALID', 'The grant was made for another device. Ask for a grant of the request of this one.', {
      cause: error,
    });
  }
};

const boxKey = (secret: Buffer, salt: Buffer): Uint8Array => new Uint8Array(hkdfSync('sha256', secret, salt, boxInfo, 32));

const seal = (
  type: string,
  payload: unknown,
  { privateKey, chain }: { readonly privateKey: string; readonly chain: readonly Uint8Array[] },
): string => {
  const key = createPrivateKey(privateKey);
  const signer = { privateKey: key, publicKey: createPublicKey(key), certificateChain: chain };
  const { signatures, ...envelope } = sealEnvelope(type, Buffer.from(JSON.stringify(payload)), [signer]);
  const written = signatures.map(({ keyId, signature, certificateChain }) => ({
    keyId: Buffer.from(keyId).toString('base64'),
    signature: Buffer.from(signature).toString('base64'),
    certificateChain: certificateChain.map((der) => Buffer.from(der).toString('base64')),
  }));
  return `${JSON.stringify({ payloadType: envelope.payloadType, payload: envelope.payload.toString('base64'), signatures: written })}\n`;
};

const parseEnvelope = (text: string, type: string): SignedEnvelope => {
  try {
    if (text.length > deviceFileCharactersMax) throw new Error('too long');
    const { payloadType, payload, signatures } = envelopeSchema.parse(JSON.parse(text));
    if (payloadType !== type) throw new Error('another kind of file');
    const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
    return {
      payloadType,
      payload: bytes(payload),
      signatures: signatures.map(({ keyId, signature, certificateChain }) => ({
        keyId: bytes(keyId),
        signature: bytes(signature),
        certificateChain: certificateChain.map(bytes),
      })),
    };
  } catch (error) {
    const what = type === requestType ? 'a request ("nest fleet request-access")' : 'a grant ("nest fleet admit")';
    throw new NestError('INPUT_INVALID', `This file is not ${what}. Choose the right file.`, { cause: error });
  }
};

const parsePayload = <Schema extends z.ZodType>(schema: Schema, { payload }: SignedEnvelope): z.output<Schema> => {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'The file has another form than this console knows. Upgrade both consoles to the same version.', {
      cause: error,
    });
  }
};

const refuseOld = (at: number, now: number): void => {
  if (at < now - deviceFileLifeMs || at > now + skewMs)
    throw new NestError('INPUT_INVALID', 'The file is older than a week or from the future. Make a new one and compare the clocks.');
};

const unsigned = (): NestError =>
  new NestError('PROOF_INVALID', 'The signature of the file does not hold: it was changed on its way. Ask for it again.');

/** SHA-256 of a public key (SPKI, DER), lower-case hex. */
export const fingerprintOf = (spki: Uint8Array): string =>
  keyIdOf(createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })).toString('hex');
