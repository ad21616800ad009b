/** Lists of revoked certificates, one an issuer: defence in depth behind the access bundle, for what TLS itself can refuse. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { z } from 'zod';
import { dayMs, derOf, signingKeyOf } from './certificate-maker.ts';
import type { Authority, AuthorityContext } from './certificate-maker.ts';
import type { Authorities } from './issuing-authority.ts';

/** Certificates on one list; those that have ended leave it. */
export const revokedMax = 2_000;

/** The root lies in a safe: its list holds long. Those of authorities are renewed by every console that holds them. */
const lifeDays = { root: 365, authority: 90 } as const;
const backdateMs = 60 * 60_000;

export const revokedSchema = z.strictObject({
  /** Which issuer's list it is on. */
  issuer: z.enum(['root', 'agents', 'operators']),
  /** Lower-case hex. */
  serial: z.string().check(z.regex(/^[0-9a-f]{1,40}$/)),
  /** What it was, for people. */
  name: z.string(),
  at: z.number(),
  /** When the certificate ends by itself. */
  endsAt: z.number(),
});
export type Revoked = z.output<typeof revokedSchema>;
export type ListIssuer = Revoked['issuer'];

export const revocationSchema = z.strictObject({
  revoked: z.array(revokedSchema).check(z.maxLength(revokedMax)),
  /** DER, base64, as they were made last. */
  lists: z.strictObject({ root: z.optional(z.base64()), agents: z.optional(z.base64()), operators: z.optional(z.base64()) }),
});
export type RevocationRecord = z.output<typeof revocationSchema>;

/** Nothing is revoked and no list was made yet. */
export const emptyRevocation: RevocationRecord = { revoked: [], lists: {} };

const issuers: readonly ListIssuer[] = ['root', 'agents', 'operators'];

/** The list of one issuer, DER. Raises SCOPE_MISSING when its key is not here. */
export const makeRevocationList = async (
  issuer: { readonly name: ListIssuer; readonly authority: Authority },
  revoked: readonly Revoked[],
  context: AuthorityContext,
): Promise<Uint8Array> => {
  const certificate = new x509.X509Certificate(issuer.authority.certificate);
  const days = issuer.name === 'root' ? lifeDays.root : lifeDays.authority;
  const list = await x509.X509CrlGenerator.create({
    issuer: certificate.subject,
    thisUpdate: new Date(context.now - backdateMs),
    nextUpdate: new Date(context.now + days * dayMs),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    signingKey: await signingKeyOf(issuer.authority),
    entries: revoked
      .filter((entry) => entry.issuer === issuer.name && entry.endsAt > context.now)
      .map(({ serial, at }) => ({ serialNumber: serial, revocationDate: new Date(at) })),
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(certificate), numberOf(context.now)],
  });
  return new Uint8Array(list.rawData);
};

/** When a list ends, milliseconds since the Unix epoch. */
export const listEndsAt = (der: Uint8Array): number => new x509.X509Crl(new Uint8Array(der)).nextUpdate?.getTime() ?? 0;

/**
 * The record with every list renewed that is missing, a third through its life, or not of `revoked` any more (`isChanged`), as far as
 * the keys are here. Returns the same record when nothing was due.
 */
export const refreshRevocation = async (
  keys: { readonly root: Authority; readonly authorities?: Authorities | undefined },
  record: RevocationRecord,
  context: AuthorityContext & { readonly isChanged?: (issuer: ListIssuer) => boolean },
): Promise<RevocationRecord> => {
  const lists = { ...record.lists };
  let isSame = true;
  for (const name of issuers) {
    const authority = name === 'root' ? keys.root : keys.authorities?.[name];
    if (authority === undefined || authority.privateKey === null) continue;
    if (context.isChanged?.(name) !== true && !isListDue(name, lists[name], context.now)) continue;
    lists[name] = Buffer.from(await makeRevocationList({ name, authority }, record.revoked, context)).toString('base64');
    isSame = false;
  }
  return isSame ? record : { ...record, lists };
};

const isListDue = (name: ListIssuer, list: string | undefined, now: number): boolean => {
  if (list === undefined) return true;
  const lifeMs = (name === 'root' ? lifeDays.root : lifeDays.authority) * dayMs;
  return listEndsAt(Buffer.from(list, 'base64')) - now < (lifeMs * 2) / 3;
};

/** What an agent is given: all lists there are, and the certificates of who made them. */
export const revocationDelivery = (
  keys: { readonly authorities?: Authorities | undefined },
  record: RevocationRecord,
): { readonly lists: readonly Uint8Array[]; readonly authorities: readonly Uint8Array[] } => ({
  lists: issuers.flatMap((name) => {
    const list = record.lists[name];
    return list === undefined ? [] : [new Uint8Array(Buffer.from(list, 'base64'))];
  }),
  authorities:
    keys.authorities === undefined ? [] : [derOf(keys.authorities.agents.certificate), derOf(keys.authorities.operators.certificate)],
});

/**
 * PEM lists for the console's own TLS context, by which it judges agents; none when one is missing or ends within a day, for then
 * OpenSSL would refuse every host.
 */
export const contextLists = (record: RevocationRecord | undefined, now: number): readonly string[] => {
  const lists = [record?.lists.root, record?.lists.agents].filter((list) => list !== undefined);
  if (lists.length < 2 || lists.some((list) => listEndsAt(Buffer.from(list, 'base64')) - now < dayMs)) return [];
  return lists.map((list) => `-----BEGIN X509 CRL-----\n${list.replaceAll(/(.{64})/g, '$1\n')}\n-----END X509 CRL-----\n`);
};

/** RFC 5280 wants a number that grows: the time in milliseconds is one. */
const numberOf = (now: number): x509.Extension => {
  const digits = Math.floor(now).toString(16);
  const value = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  const positive = (value[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), value]) : value;
  return new x509.Extension('2.5.29.20', false, new Uint8Array(Buffer.concat([Buffer.from([2, positive.length]), positive])));
};
