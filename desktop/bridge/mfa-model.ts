/** Second factors and break-glass grants, as they cross the bridge. Times: milliseconds since the Unix epoch. */
import { z } from 'zod/mini';

export interface Witness {
  readonly hostId: string;
  /** The id when the host is not in this console's inventory. */
  readonly name: string;
  readonly isLive: boolean;
}

export interface FactorRow {
  /** "operator/ada" */
  readonly subject: string;
  readonly factorId: string;
  readonly enrolledAt: number;
  readonly witnesses: readonly Witness[];
  /** Witnesses that must check a code. */
  readonly needed: number;
}

/** A grant in use on a host. */
export interface BreakGlassMark {
  readonly grantId: string;
  /** "operator/ada" */
  readonly operator: string;
  readonly reason: string;
  readonly since: number;
  readonly until: number;
}

export interface BreakGlassRow extends BreakGlassMark {
  readonly hostId: string;
  readonly hostName: string;
}

export interface MfaState {
  /** Who this console acts as. */
  readonly subject: string;
  /** Operators without a second factor may not do what is dangerous. */
  readonly isRequired: boolean;
  /** This operator's; null without one. */
  readonly factor: FactorRow | null;
  /** Until when a code counts that was entered here; null when none does. */
  readonly freshUntil: number | null;
  /** As the witnesses said last; null when nobody was asked. */
  readonly recoveryCodesLeft: number | null;
  /** Of every operator of the fleet. */
  readonly factors: readonly FactorRow[];
}

/** Shown once and kept nowhere: what goes into the authenticator, and onto paper. */
export interface FactorOffer {
  readonly factorId: string;
  /** Base32. */
  readonly secret: string;
  /** otpauth://... */
  readonly uri: string;
  readonly recoveryCodes: readonly string[];
  readonly witnesses: readonly Witness[];
}

export interface FactorConfirmed {
  readonly state: MfaState;
  /** What an owner has to take up with "nest mfa admit"; null when this console is an owner's and has done so. */
  readonly claim: string | null;
}

export interface BreakGlassFile {
  readonly file: string;
}

export interface GrantText {
  readonly grant: string;
  /** "operator/ada" or "device/...". */
  readonly holder: string;
  readonly level: string;
  readonly until: number;
}

export interface GrantUse {
  readonly hostId: string;
  readonly hostName: string;
  /** Null when it was refused. */
  readonly until: number | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
}

const code = z.string().check(z.minLength(6), z.maxLength(64));
const hex = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const passphrase = z.string().check(z.minLength(1), z.maxLength(1024));
const file = z.string().check(z.maxLength(4 << 20));
const factorId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));

/** What one code is for, when it is for one act over many hosts: the details of MFA_REQUIRED say it. */
export const mfaAct = z.strictObject({ actionHash: hex, hostSetHash: hex });
export type MfaAct = z.output<typeof mfaAct>;

export const mfaInputs = {
  /** The hosts that shall be witnesses; chosen by the console when absent. */
  enrol: z.strictObject({ hostIds: z.optional(z.array(z.string().check(z.maxLength(26))).check(z.maxLength(3))) }),
  confirm: z.strictObject({ factorId, code }),
  admit: z.strictObject({ claim: z.string().check(z.maxLength(4096)) }),
  stepUp: z.strictObject({ code, act: z.optional(mfaAct) }),
  remove: z.strictObject({ subject: z.optional(z.string().check(z.maxLength(160))) }),
};

export const breakGlassInputs = {
  seal: z.strictObject({ passphrase }),
  grant: z.strictObject({
    file,
    passphrase,
    /** "operator/<name>" or "device/<key hash>". */
    holder: z.string().check(z.maxLength(160)),
    /** Name or id. */
    host: z.optional(z.string().check(z.maxLength(80))),
    cluster: z.optional(z.string().check(z.maxLength(63))),
    minutes: z.int().check(z.minimum(1), z.maximum(60)),
    reason: z.string().check(z.minLength(1), z.maxLength(200)),
  }),
  cosign: z.strictObject({ file, passphrase, grant: z.string().check(z.maxLength(16 << 10)) }),
  use: z.strictObject({ grant: z.string().check(z.maxLength(16 << 10)) }),
};
