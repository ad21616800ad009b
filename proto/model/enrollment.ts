/**
 * The exact bytes both ends of an enrolment compute, so that agent and console cannot drift apart.
 * Token: "nest1." + base64url(id 16 B | secret 32 B | SHA-256 of the fleet root's SPKI 32 B).
 * Proofs: HMAC-SHA-256 under HKDF-SHA-256(secret, salt = token id, info = "nest enrollment 1", 32 B).
 */

export const tokenIdBytes = 16;
export const tokenSecretBytes = 32;
export const spkiHashBytes = 32;
export const nonceBytes = 32;
export const tokenPrefix = 'nest1.';
export const tokenKeyInfo = 'nest enrollment 1';

export type ProofLabel = 'nest agent' | 'nest console' | 'nest complete';

export interface Transcript {
  readonly tokenId: Uint8Array;
  readonly consoleNonce: Uint8Array;
  readonly agentNonce: Uint8Array;
  /** SHA-256 of the SPKI of the certificate the console presented in TLS. */
  readonly consoleSpkiHash: Uint8Array;
  /** SHA-256 of the SPKI of the certificate the agent presented in TLS. */
  readonly agentSpkiHash: Uint8Array;
  readonly rootSpkiHash: Uint8Array;
}

const concatenate = (parts: readonly Uint8Array[]): Uint8Array => {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
};

const lengthPrefixed = (bytes: Uint8Array): Uint8Array => {
  const prefixed = new Uint8Array(4 + bytes.length);
  new DataView(prefixed.buffer).setUint32(0, bytes.length);
  prefixed.set(bytes, 4);
  return prefixed;
};

/** Every field with its length in four bytes before it. */
export const joinFields = (fields: readonly Uint8Array[]): Uint8Array => concatenate(fields.map(lengthPrefixed));

/** Input of a proof's HMAC: label, then every field with its length, so that no two transcripts share bytes. */
export const proofInput = (label: ProofLabel, transcript: Transcript, extra: readonly Uint8Array[] = []): Uint8Array =>
  joinFields([
    new TextEncoder().encode(label),
    transcript.tokenId,
    transcript.consoleNonce,
    transcript.agentNonce,
    transcript.consoleSpkiHash,
    transcript.agentSpkiHash,
    transcript.rootSpkiHash,
    ...extra,
  ]);

/** Extra fields of the "nest complete" MAC, in order. */
export const completeFields = (fleetId: string, fleetRoot: Uint8Array, certificateChain: readonly Uint8Array[]): readonly Uint8Array[] => [
  new TextEncoder().encode(fleetId),
  fleetRoot,
  ...certificateChain,
];

/** What the present key of an agent signs to name the key that follows it; `nextSpki` is DER. */
export const keyChangeInput = (agentId: string, nextSpki: Uint8Array): Uint8Array =>
  joinFields([new TextEncoder().encode('nest key change 1'), new TextEncoder().encode(agentId), nextSpki]);
