/** The approval of a mapping in the document: who asked, why, who agreed, until when. */
import { z } from 'zod';

import { parseExpiry } from './deny-schema.ts';
import { checkedString, unknownKeys } from './schema-checks.ts';

export interface PolicyApproval {
  /** Why the mapping is needed. */
  readonly justification: string;
  /** Of the system where the request is tracked. */
  readonly ticket?: string | undefined;
  /** "operator/<name>" or "client/<name>", of the certificate that brings the request. */
  readonly requestedBy: string;
  /** Written by the host, from the certificate of who approved; absent: the mapping waits and is not in force. */
  readonly approvedBy?: string | undefined;
  /** RFC 3339; written by the host. */
  readonly approvedAt?: string | undefined;
  /** RFC 3339; from then on the mapping is not in force. */
  readonly expiresAt?: string | undefined;
}

const approvalKeys = ['justification', 'ticket', 'requestedBy', 'approvedBy', 'approvedAt', 'expiresAt'];
const justificationMax = 500;
const ticketMax = 100;

const textOf = (max: number, what: string) =>
  checkedString((text) =>
    text.trim() !== '' && text.length <= max
      ? undefined
      : { code: 'APPROVAL_TEXT', message: `Write ${what} in 1 to ${String(max)} characters.` },
  );

const personSchema = checkedString((text) =>
  /^(operator|client)\/[A-Za-z0-9._@+-]{1,128}$/.test(text)
    ? undefined
    : { code: 'APPROVAL_PERSON', message: 'Write "operator/" or "client/" and the name, as the certificate says it.' },
);

const timeSchema = checkedString((text) =>
  parseExpiry(text) === undefined
    ? {
        code: 'EXPIRES_INVALID',
        message: `${JSON.stringify(text.slice(0, 40))} is not a time of RFC 3339: write for instance "2030-01-31T18:00:00Z".`,
      }
    : undefined,
);

/** One approval. Who may write what into it is checked where it is applied: see approval.ts. */
export const approvalSchema = z.strictObject(
  {
    justification: textOf(justificationMax, 'why the mapping is needed'),
    ticket: textOf(ticketMax, 'the ticket').optional(),
    requestedBy: personSchema,
    approvedBy: personSchema.optional(),
    approvedAt: timeSchema.optional(),
    expiresAt: timeSchema.optional(),
  },
  { error: unknownKeys(approvalKeys) },
);
