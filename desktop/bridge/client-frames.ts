/** Schemas of what a client may send: the server's side of wire.ts. */
import { z } from 'zod/mini';
import { bridgeLimits, protocolVersion, readKind } from './wire.ts';
import type { ClientFrame, Parsed } from './wire.ts';

const id = z.int().check(z.minimum(1), z.maximum(Number.MAX_SAFE_INTEGER));
const v = z.literal(protocolVersion);
const m = z.string().check(z.minLength(1), z.maxLength(64));

const schemas: Readonly<Record<ClientFrame['t'], z.ZodMiniType<ClientFrame>>> = {
  hello: z.object({ t: z.literal('hello'), v: z.int(), capabilities: z.array(z.string().check(z.maxLength(64))).check(z.maxLength(64)) }),
  call: z.object({ t: z.literal('call'), v, id, m, p: z.unknown() }),
  open: z.object({ t: z.literal('open'), v, id, m, p: z.unknown() }),
  cancel: z.object({ t: z.literal('cancel'), v, id }),
  credit: z.object({ t: z.literal('credit'), v, id, n: z.int().check(z.minimum(1), z.maximum(bridgeLimits.streamWindow)) }),
};

/** Reads a frame a client sent. */
export const parseClientFrame = (text: string): Parsed<ClientFrame> => {
  const read = readKind(text);
  if (read.kind === 'broken') return read;
  if (!Object.hasOwn(schemas, read.t)) return { kind: 'ignored' };
  const parsed = schemas[read.t as ClientFrame['t']].safeParse(read.value);
  return parsed.success ? { kind: 'frame', frame: parsed.data } : { kind: 'broken', reason: `The ${read.t} frame has a wrong shape.` };
};
