/** The generation of a table image: its name everywhere. */

/** SHA-256 of the image, lower-case hex. Uses WebCrypto, so it works in Node and in a browser alike. */
export const generationOf = async (image: Uint8Array): Promise<string> => {
  const digest = await globalThis.crypto.subtle.digest('SHA-256', new Uint8Array(image));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
};
