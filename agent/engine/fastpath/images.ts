/** Table images with the states that backends have now: nest-fastpathd takes them with the image. */

const headerBytes = 96;
/** Bytes of an entry by the header word that counts them, in the order of the sections before the backends. */
const sectionsBefore = [
  { word: 4, bytes: 16 },
  { word: 5, bytes: 28 },
  { word: 6, bytes: 20 },
  { word: 7, bytes: 8 },
  { word: 8, bytes: 12 },
  { word: 13, bytes: 72 },
  { word: 14, bytes: 12 },
  { word: 15, bytes: 24 },
  { word: 17, bytes: 24 },
] as const;
const backendCountWord = 18;
const backendBytes = 32;
const backendStateOffset = 21;

const alignedTo8 = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** The image itself when it has no backends, else a copy; `states` are NEST_BACKEND_* by backend index. */
export const withBackendStates = (image: Uint8Array, states: Uint8Array | undefined): Uint8Array => {
  const words = new DataView(image.buffer, image.byteOffset, headerBytes);
  const count = words.getUint32(backendCountWord * 4, true);
  if (count === 0 || states === undefined) return image;
  const first = sectionsBefore.reduce((end, { word, bytes }) => end + alignedTo8(words.getUint32(word * 4, true) * bytes), headerBytes);
  const copy = Uint8Array.from(image);
  for (const [index, state] of states.subarray(0, count).entries()) copy[first + index * backendBytes + backendStateOffset] = state;
  return copy;
};
