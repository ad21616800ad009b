/** What the parts of the contract are made of: kinds of methods, and inputs that many of them take. */
import { z } from 'zod/mini';
import * as model from './model.ts';

export const nothing = z.strictObject({});
export const hostId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));
/** Something can be read in it, and nothing in it steers a terminal. */
export const name = z
  .string()
  .check(
    z.minLength(1),
    z.maxLength(63),
    z.regex(/^\P{C}*[\p{L}\p{N}]\P{C}*$/u, 'it needs a letter or a digit, and no control characters'),
  );
export const passphrase = z.string().check(z.minLength(1), z.maxLength(1024));
export const host = z.strictObject({ hostId });

export const query = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'query', input, output: undefined as unknown as Output }) as const;
export const command = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'command', input, output: undefined as unknown as Output }) as const;
export const stream = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'stream', input, output: undefined as unknown as Output }) as const;
export const { of } = model;
