import type { Envelope } from './operator-signature.ts';

interface StoredEnvelope {
  readonly payloadType: string;
  readonly payload: string;
  readonly signatures: readonly { readonly keyId: string; readonly signature: string; readonly certificateChain: readonly string[] }[];
}

/** An envelope as text for a database; its signed bytes stay as they are. */
export const envelopeText = ({ payloadType, payload, signatures }: Envelope): string =>
  JSON.stringify({
    payloadType,
    payload: base64(payload),
    signatures: signatures.map(({ keyId, signature, certificateChain }) => ({
      keyId: base64(keyId),
      signature: base64(signature),
      certificateChain: certificateChain.map(base64),
    })),
  } satisfies StoredEnvelope);

/** The envelope of such a text. Trusts its own shape. */
export const envelopeOfText = (text: string): Envelope => {
  const { payloadType, payload, signatures } = JSON.parse(text) as StoredEnvelope;
  return {
    payloadType,
    payload: bytesOf(payload),
    signatures: signatures.map(({ keyId, signature, certificateChain }) => ({
      keyId: bytesOf(keyId),
      signature: bytesOf(signature),
      certificateChain: certificateChain.map(bytesOf),
    })),
  };
};

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64');
