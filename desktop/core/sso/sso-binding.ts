/** Which provider, which client and which person open this console beside the vault. Lives in the vault. */
import { z } from 'zod';

export const ssoBindingSchema = z.strictObject({
  issuer: z.string(),
  clientId: z.string(),
  required: z.boolean(),
  domains: z.array(z.string()),
  /** The person it is bound to since it was made compulsory; null before. */
  subject: z.nullable(z.string()),
});

export type SsoBinding = z.output<typeof ssoBindingSchema>;

/** A sign-in whose token was verified. */
export const signInSchema = z.strictObject({
  issuer: z.string(),
  clientId: z.string(),
  subject: z.string(),
  /** Only when the provider says that it is verified. */
  email: z.nullable(z.string()),
  at: z.number(),
});

export type SignIn = z.output<typeof signInSchema>;

/** So long a sign-in opens the console. */
export const signInLifeMs = 12 * 3_600_000;
/** A sign-in may be so much in the future: the clock was set back a little. */
const aheadMsMax = 5 * 60_000;

/** Whether this is the person, of the provider, that the binding wants; whenever it was. */
export const fitsBinding = (signIn: SignIn, binding: Omit<SsoBinding, 'required'>): boolean =>
  signIn.issuer === binding.issuer &&
  signIn.clientId === binding.clientId &&
  (binding.subject === null || binding.subject === signIn.subject) &&
  (binding.domains.length === 0 || binding.domains.includes(domainOf(signIn.email)));

export const isFresh = (signIn: SignIn, now: number): boolean => signIn.at <= now + aheadMsMax && now - signIn.at <= signInLifeMs;

const domainOf = (email: string | null): string => email?.split('@').at(-1)?.toLowerCase() ?? '';
