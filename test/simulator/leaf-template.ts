/**
 * Agent certificates by the thousand: the fleet's authority issues the first, the others are its bytes with key, names and serial
 * exchanged for others of the same length and signed anew by the same issuer. Building each anew costs ten times as much.
 */
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

const serialBytes = 16;
const sequenceTag = 0x30;
const bitStringTag = 0x03;
/** Of an uncompressed P-256 point, at the end of its SPKI. */
const pointBytes = 65;

export interface LeafSubject {
  readonly agentId: string;
  readonly hostName: string;
  readonly publicKey: KeyObject;
}

export interface LeafTemplate {
  /** A certificate, DER. Raises when a name has another length than the first agent's. */
  issue(subject: LeafSubject): Buffer;
}

/** Finds the issuer's key among the fleet's secrets by trying which one signed the first certificate. */
export const createLeafTemplate = (first: LeafSubject & { readonly certificate: Uint8Array }, secrets: unknown): LeafTemplate => {
  const certificate = new X509Certificate(Buffer.from(first.certificate));
  const issuer = privateKeysIn(secrets).find((key) => certificate.verify(createPublicKey(key)));
  if (issuer === undefined) throw new Error('The issuer of the first agent is not among the keys of the fleet.');
  const { tbs, algorithm } = split(certificate.raw);
  const firstParts = partsOf(first, Buffer.from(certificate.serialNumber, 'hex'));
  return {
    issue: (subject) => {
      const serial = randomBytes(serialBytes);
      serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
      const parts = partsOf(subject, serial);
      const changed = firstParts.reduce((bytes, part, number) => exchanged(bytes, part, parts[number]), tbs);
      const signature = sign('sha256', changed, issuer);
      return der(sequenceTag, Buffer.concat([changed, algorithm, der(bitStringTag, Buffer.concat([Buffer.from([0]), signature]))]));
    },
  };
};

const privateKeysIn = (value: unknown): readonly KeyObject[] => {
  if (typeof value === 'string') return value.includes('PRIVATE KEY-----') ? [createPrivateKey(value)] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(privateKeysIn) : [];
};

/** What differs between two agents, in the order in which it is exchanged. */
const partsOf = ({ agentId, hostName, publicKey }: LeafSubject, serial: Buffer): readonly Buffer[] => {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const point = spki.subarray(-pointBytes);
  const keyIdentifier = createHash('sha1').update(point).digest();
  return [serial, point, keyIdentifier, Buffer.from(agentId), Buffer.from(agentId.toLowerCase()), Buffer.from(hostName)];
};

/** Raises when the old part is missing or the new one has another length. */
const exchanged = (bytes: Buffer, before: Buffer, after: Buffer | undefined): Buffer => {
  const at = bytes.indexOf(before);
  if (at < 0 || after?.length !== before.length) throw new Error('This certificate cannot be made from the first one.');
  const copy = Buffer.from(bytes);
  after.copy(copy, at);
  return copy;
};

/** A certificate is a sequence of what is signed, how, and the signature. */
const split = (certificate: Buffer): { readonly tbs: Buffer; readonly algorithm: Buffer } => {
  const [, start] = lengthAt(certificate, 0);
  const [tbsLength, tbsStart] = lengthAt(certificate, start);
  const tbsEnd = tbsStart + tbsLength;
  const [algorithmLength, algorithmStart] = lengthAt(certificate, tbsEnd);
  return { tbs: certificate.subarray(start, tbsEnd), algorithm: certificate.subarray(tbsEnd, algorithmStart + algorithmLength) };
};

/** Length of the element at this offset, and where its content begins. */
const lengthAt = (bytes: Buffer, offset: number): readonly [length: number, start: number] => {
  const first = bytes[offset + 1] ?? 0;
  if (first < 0x80) return [first, offset + 2];
  const size = first & 0x7f;
  return [bytes.readUIntBE(offset + 2, size), offset + 2 + size];
};

const der = (tag: number, content: Buffer): Buffer => {
  const size = content.length < 0x80 ? 0 : content.length < 0x100 ? 1 : 2;
  const head = Buffer.alloc(2 + size);
  head[0] = tag;
  head[1] = size === 0 ? content.length : 0x80 | size;
  if (size > 0) head.writeUIntBE(content.length, 2, size);
  return Buffer.concat([head, content]);
};
