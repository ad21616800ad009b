/** Where the public key lies in a certificate: reading it there costs microseconds, taking the key apart and writing it anew half a millisecond. */

const tagInteger = 0x02;
const tagSequence = 0x30;
/** [0], explicit: the version. */
const tagVersion = 0xa0;
/** From here on the first byte says how many digits the length has. */
const longForm = 0x80;
const lengthDigitsMax = 3;

/**
 * The SubjectPublicKeyInfo of an X.509 certificate, DER, as a part of `certificate`. Strict: only definite lengths in their shortest form,
 * so that nobody else can read another key in the same bytes. Null when it is written in any other way.
 */
export const subjectPublicKeyInfo = (certificate: Uint8Array): Uint8Array | null => {
  const outer = elementAt(certificate, 0, tagSequence);
  if (outer?.end !== certificate.length) return null;
  const signed = elementAt(certificate, outer.start, tagSequence);
  if (signed === null) return null;
  let at: number | undefined = signed.start;
  const tags = [...(certificate[at] === tagVersion ? [tagVersion] : []), ...fieldsBeforeKey];
  for (const tag of tags) {
    at = elementAt(certificate, at, tag)?.end;
    if (at === undefined) return null;
  }
  const key = elementAt(certificate, at, tagSequence);
  return key === null || key.end > signed.end ? null : certificate.subarray(at, key.end);
};

/** Serial number, signature algorithm, issuer, validity, subject. */
const fieldsBeforeKey = [tagInteger, tagSequence, tagSequence, tagSequence, tagSequence];

/** Where the content of the element at `at` starts and ends; null when there is no such element. */
const elementAt = (bytes: Uint8Array, at: number, tag: number): { readonly start: number; readonly end: number } | null => {
  const first = bytes[at + 1];
  if (bytes[at] !== tag || first === undefined) return null;
  let length = first;
  let start = at + 2;
  if (first >= longForm) {
    const digits = first - longForm;
    if (digits === 0 || digits > lengthDigitsMax) return null;
    length = 0;
    for (let digit = 0; digit < digits; digit += 1) length = length * 256 + (bytes[start + digit] ?? 0);
    start += digits;
    if (length < longForm || length < 256 ** (digits - 1)) return null;
  }
  return start + length > bytes.length ? null : { start, end: start + length };
};
