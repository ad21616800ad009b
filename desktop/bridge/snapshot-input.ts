/** What the methods `snapshot.*` of the contract take. */
import { z } from 'zod/mini';
import { snapshotProfiles } from '../../proto/model/snapshot-profile.ts';

const snapshotId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));
const hostId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));
const name = z.string().check(z.minLength(1), z.maxLength(63));
const words = z.string().check(z.minLength(1), z.maxLength(1024));
const rootSha256 = z.optional(z.string().check(z.regex(/^[0-9a-f]{64}$/)));
const side = z.union([z.literal('live'), snapshotId]);
const offset = z.int().check(z.minimum(0));
const profile = z.enum(snapshotProfiles);
const one = { snapshotId, hostId };

/** Inputs of the methods `snapshot.*`. */
export const snapshotInput = {
  file: z.strictObject({ snapshotId }),
  create: z.strictObject({
    profile,
    passphrase: z.optional(words),
    /** Recipients, or names of the book. */
    recipients: z.optional(z.array(z.string().check(z.minLength(1), z.maxLength(100))).check(z.maxLength(31))),
    /** All when absent. */
    hostIds: z.optional(z.array(hostId).check(z.minLength(1), z.maxLength(100_000))),
    /** Of each host; by default 500, and 20,000 of the whole fleet. */
    flows: z.optional(z.int().check(z.minimum(0), z.maximum(500))),
    /** Asks every host that answers for its documents first. */
    fresh: z.optional(z.boolean()),
  }),
  read: z.strictObject({ snapshotId, offset }),
  begin: z.strictObject({ fileName: z.string().check(z.minLength(1), z.maxLength(255)), bytes: z.int().check(z.minimum(1)) }),
  append: z.strictObject({ snapshotId, offset, data: z.string().check(z.maxLength(600 << 10)) }),
  inspect: z.strictObject({ snapshotId, rootSha256 }),
  open: z.strictObject({
    snapshotId,
    rootSha256,
    passphrase: z.optional(words),
    /** Text of a key file, and its own passphrase. */
    identity: z.optional(z.strictObject({ file: z.string().check(z.maxLength(4096)), passphrase: words })),
    /** Opens it although its author is locked, or may not make snapshots any more. */
    acceptAuthor: z.optional(z.boolean()),
  }),
  hosts: z.strictObject({
    snapshotId,
    where: z.optional(z.string().check(z.maxLength(1024))),
    offset: z.optional(offset),
    limit: z.optional(z.int().check(z.minimum(1), z.maximum(10_000))),
  }),
  host: z.strictObject(one),
  compare: z.strictObject({ before: side, after: side }),
  comparePolicy: z.strictObject({ before: side, after: side, hostId }),
  recipient: z.strictObject({ name, recipient: z.string().check(z.maxLength(100)) }),
  recipientName: z.strictObject({ name }),
  keygen: z.strictObject({ name, passphrase: words }),
} as const;
