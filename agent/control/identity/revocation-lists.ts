import { createHash, X509Certificate } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import type { RevocationReport } from './api.ts';
import { pemCertificates } from './identity-record.ts';
import type { StoredIdentity } from './identity-record.ts';
import { X509Certificate as ParsedCertificate, X509Crl } from './x509.ts';

/** Lists and authorities in one delivery, and kept. */
export const revocationListsMax = 16;
export const authoritiesMax = 8;
const listBytesMax = 1 << 20;
/** A list of a console whose clock is a little ahead is taken. */
const skewMs = 10 * 60_000;
/** A warning is raised so long before a list ends. */
export const endingMs = 7 * 86_400_000;

/** One list of revoked certificates, read. */
export interface RevocationList {
  readonly der: Uint8Array;
  /** Distinguished name of the issuer, as Node writes it. */
  readonly issuer: string;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Lower-case hex without leading zeros. */
  readonly serials: ReadonlySet<string>;
}

/** What the lists an agent has say at some moment. */
export interface Revocation {
  /** PEM for the TLS context; null when a list is missing or over, for then OpenSSL would refuse everybody. */
  contextLists(nowMs: number): readonly string[] | null;
  /** Also by lists that are over: what they revoked stays revoked. */
  isRevoked(certificate: { readonly issuer: string; readonly serial: string }): boolean;
  /** Serial numbers on the lists of the roots, in order, as one text. */
  revokedAuthorities(): string;
  report(nowMs: number): RevocationReport;
}

/** Reads what is stored; the signatures were checked when it was taken. Throws STATE_CORRUPT by way of the reader's own error. */
export const createRevocation = (identity: Pick<StoredIdentity, 'root' | 'authorities' | 'revocationLists'>): Revocation => {
  const known = issuersOf(identity);
  const lists = identity.revocationLists.map((der) => parseList(der, known));
  const names = [...new Set(known.map(({ subject }) => subject))];
  // While the fleet changes its root, old and new issuers share names: OpenSSL could take the one's list for the other's.
  const isChanging = pemCertificates(identity.root).length > 1;
  const roots = new Set(known.filter(({ subject, issuer }) => subject === issuer).map(({ subject }) => subject));
  const current = (nowMs: number): readonly RevocationList[] => lists.filter((list) => isCurrent(list, nowMs));
  return {
    contextLists: (nowMs) => {
      const usable = current(nowMs);
      return !isChanging && lists.length > 0 && missing(names, usable).length === 0 ? usable.map(({ der }) => pemOf(der)) : null;
    },
    isRevoked: ({ issuer, serial }) => lists.some((list) => list.issuer === issuer && list.serials.has(plainSerial(serial))),
    revokedAuthorities: () =>
      lists
        .filter(({ issuer }) => roots.has(issuer))
        .flatMap(({ serials }) => [...serials])
        .toSorted()
        .join(' '),
    report: (nowMs) => ({
      isChecked: !isChanging && lists.length > 0 && missing(names, current(nowMs)).length === 0,
      isKnown: lists.length > 0,
      missing: isChanging || lists.length === 0 ? [] : missing(names, current(nowMs)),
      endsAtMs: lists.length === 0 ? null : Math.min(...lists.map(({ nextUpdateMs }) => nextUpdateMs)),
      lists: lists.map(({ der, issuer, thisUpdateMs, nextUpdateMs, serials }) => ({
        issuer,
        sha256: createHash('sha256').update(der).digest(),
        thisUpdateMs,
        nextUpdateMs,
        revoked: serials.size,
      })),
    }),
  };
};

/** Names without a usable list. */
const missing = (names: readonly string[], lists: readonly RevocationList[]): readonly string[] =>
  names.filter((name) => !lists.some(({ issuer }) => issuer === name));

const isCurrent = ({ thisUpdateMs, nextUpdateMs }: RevocationList, nowMs: number): boolean => thisUpdateMs <= nowMs && nowMs < nextUpdateMs;

/** A delivery of the console. */
export interface RevocationOffer {
  readonly lists: readonly Uint8Array[];
  readonly authorities: readonly Uint8Array[];
}

/**
 * What is kept after a delivery: authorities that a trusted root has signed, and of each issuer the latest list. Throws
 * CERTIFICATE_INVALID for a list or authority that nobody we trust has signed or that is from the future, LIMIT_REACHED beyond a limit.
 */
export const takeRevocationLists = async (
  identity: Pick<StoredIdentity, 'root' | 'authorities' | 'revocationLists'>,
  offer: RevocationOffer,
  nowMs: number,
): Promise<{ readonly authorities: readonly Uint8Array[]; readonly revocationLists: readonly Uint8Array[]; readonly taken: number }> => {
  if (
    offer.lists.length > revocationListsMax ||
    offer.authorities.length > authoritiesMax ||
    offer.lists.some((list) => list.length > listBytesMax)
  )
    throw new NestError('LIMIT_REACHED', `At most ${revocationListsMax} lists of ${listBytesMax >> 10} KB are taken at once. Send fewer.`);
  const authorities = takeAuthorities(identity, offer.authorities);
  const issuers = issuersOf({ root: identity.root, authorities });
  // By name, but not while the fleet changes its root: the old and the new issuer share one then, and each has a list of its own.
  const isChanging = pemCertificates(identity.root).length > 1;
  const kept = new Map<string, RevocationList>();
  for (const list of identity.revocationLists.map((der) => parseList(der, issuers)))
    kept.set((isChanging ? await signerOf(list, issuers) : null) ?? list.issuer, list);
  let taken = 0;
  for (const der of offer.lists) {
    const list = parseList(der, issuers);
    const signer = await signerOf(list, issuers);
    if (signer === null) throw refuse('the signature of a list does not fit its issuer');
    if (list.thisUpdateMs > nowMs + skewMs) throw refuse('a list is from the future; compare the clocks');
    const key = isChanging ? signer : list.issuer;
    const present = kept.get(key);
    if (present !== undefined && present.thisUpdateMs >= list.thisUpdateMs) continue;
    kept.set(key, list);
    taken++;
  }
  return { authorities, revocationLists: [...kept.values()].map(({ der }) => der), taken };
};

/** Those of the lists that one of these issuers has signed. */
export const listsUnder = async (
  identity: Pick<StoredIdentity, 'root' | 'authorities'>,
  lists: readonly Uint8Array[],
): Promise<readonly Uint8Array[]> => {
  const issuers = issuersOf(identity);
  const held = await Promise.all(
    lists.map(async (der) => {
      try {
        return (await signerOf(parseList(der, issuers), issuers)) === null ? [] : [der];
      } catch (error) {
        if (error instanceof NestError) return [];
        throw error;
      }
    }),
  );
  return held.flat();
};

const takeAuthorities = (
  { root, authorities }: Pick<StoredIdentity, 'root' | 'authorities'>,
  offered: readonly Uint8Array[],
): readonly Uint8Array[] => {
  const roots = pemCertificates(root).map((pem) => new X509Certificate(pem));
  const kept = new Map(authorities.map((der) => [nameAndKey(readCertificate(der)), der]));
  for (const der of offered) {
    const authority = readCertificate(der);
    if (!authority.ca || !roots.some((issuer) => authority.checkIssued(issuer) && authority.verify(issuer.publicKey)))
      throw refuse('an authority is not signed by the root of this fleet');
    kept.set(nameAndKey(authority), der);
  }
  // The oldest give way: they were announced first.
  return [...kept.values()].slice(-authoritiesMax);
};

const nameAndKey = ({ subject, publicKey }: X509Certificate): string =>
  `${subject}\n${publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`;

const issuersOf = ({ root, authorities }: Pick<StoredIdentity, 'root' | 'authorities'>): readonly X509Certificate[] => [
  ...pemCertificates(root).map((pem) => new X509Certificate(pem)),
  ...authorities.map((der) => readCertificate(der)),
];

const parseList = (der: Uint8Array, issuers: readonly X509Certificate[]): RevocationList => {
  try {
    const list = new X509Crl(new Uint8Array(der));
    const name = Buffer.from(list.issuerName.toArrayBuffer());
    const issuer = issuers.find(({ raw }) =>
      name.equals(Buffer.from(new ParsedCertificate(new Uint8Array(raw)).subjectName.toArrayBuffer())),
    );
    if (issuer === undefined) throw refuse('a list is of nobody this host knows');
    if (list.nextUpdate === undefined) throw refuse('a list does not say until when it holds');
    return {
      der,
      issuer: issuer.subject,
      thisUpdateMs: list.thisUpdate.getTime(),
      nextUpdateMs: list.nextUpdate.getTime(),
      serials: new Set(list.entries.map(({ serialNumber }) => plainSerial(serialNumber))),
    };
  } catch (error) {
    throw error instanceof NestError ? error : refuse('a list cannot be read', error);
  }
};

/** SHA-256 of the issuer's certificate that signed the list, null when none did. Several may share a name while the fleet changes them. */
const signerOf = async (list: RevocationList, issuers: readonly X509Certificate[]): Promise<string | null> => {
  const parsed = new X509Crl(new Uint8Array(list.der));
  for (const { subject, raw, fingerprint256 } of issuers) {
    if (subject !== list.issuer) continue;
    const { publicKey } = new ParsedCertificate(new Uint8Array(raw));
    if (await parsed.verify({ publicKey })) return fingerprint256;
  }
  return null;
};

const readCertificate = (der: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (error) {
    throw refuse('a certificate cannot be read', error);
  }
};

const plainSerial = (serial: string): string => serial.toLowerCase().replace(/^0+(?=.)/, '');

/** OpenSSL wants this label; the X.509 library writes another. */
const pemOf = (der: Uint8Array): string =>
  `-----BEGIN X509 CRL-----\n${Buffer.from(der)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n')}\n-----END X509 CRL-----\n`;

const refuse = (reason: string, cause?: unknown): NestError =>
  new NestError('CERTIFICATE_INVALID', `The lists of revoked certificates are refused: ${reason}. Send those of this fleet.`, { cause });
