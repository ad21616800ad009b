import type { EngineNextHop, NextHopWanted } from './api.ts';

const rowBytes = 20;
const addressOffset = 4;

/** By the numbers of native/addon.ts. */
const answers: readonly EngineNextHop[] = ['noRoute', 'notNeeded', 'known', 'asked'];

/** Rows as `askNextHops` of the addon takes them. */
export const encodeNextHops = (wanted: readonly NextHopWanted[]): Uint8Array => {
  const rows = new Uint8Array(wanted.length * rowBytes);
  for (const [index, { address, isGatewayOnly }] of wanted.entries()) {
    const at = index * rowBytes;
    rows[at] = address.length === 4 ? 4 : 6;
    rows[at + 1] = isGatewayOnly ? 1 : 0;
    rows.set(address, at + addressOffset);
  }
  return rows;
};

/** One answer for each byte. */
export const decodeNextHops = (bytes: Uint8Array): readonly EngineNextHop[] => Array.from(bytes, (byte) => answers[byte] ?? 'noRoute');
