import { createHash, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import { readRootChange, rootChangeOf } from '../../../proto/model/root-change.ts';
import type { RootStep } from '../../../proto/model/root-change.ts';

/** Who this agent is and whom it believes, as kept on disk. */
export interface StoredIdentity {
  readonly agentId: string;
  readonly fleetId: string;
  readonly enrolledAtMs: number;
  readonly endsAtMs: number;
  /** PEM. */
  readonly leaf: string;
  /** Leaf and the authority for agents, PEM. */
  readonly chain: string;
  /** Trusted roots, PEM, the one of the enrolment first; more than one only while the fleet changes its root. */
  readonly root: string;
  /** Distinguished names of the trusted roots. */
  readonly rootNames: readonly string[];
  /** Known authorities below the roots, DER. */
  readonly authorities: readonly Uint8Array[];
  /** Lists of revoked certificates by issuer, DER. */
  readonly revocationLists: readonly Uint8Array[];
  /** The last step of a change of the root, as it was signed; null without one. */
  readonly rootChange: Uint8Array | null;
  /** What it says. */
  readonly rootStep: RootStep | null;
  /** SHA-256 of the public key (SPKI), lower-case hex. */
  readonly fingerprint: string;
  /** Name of the file with the private key. */
  readonly keyFile: string;
}

/** Where the first key lies; later ones are named by their fingerprint. */
export const firstKeyFile = 'key.pem';

const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const keyFile = z.string().regex(/^key(-[0-9a-f]{16})?\.pem$/);
const common = {
  agentId: z.string(),
  fleetId: z.string(),
  enrolledAtMs: z.number(),
  endsAtMs: z.number(),
  leaf: z.string(),
  fingerprint: hex,
};
/** The first format kept chain and root in files beside it, which cannot be replaced as one. */
const firstSchema = z.strictObject({ version: z.literal(1), ...common, chainSha256: hex, rootSha256: hex });
const secondSchema = z.strictObject({
  version: z.literal(2),
  ...common,
  chain: z.string(),
  root: z.string(),
  authorities: z.array(z.base64()),
  revocationLists: z.array(z.base64()),
  /** Missing until the fleet changes its root. */
  rootChange: z.base64().optional(),
  keyFile,
  sha256: hex,
});

/** Text of identity.json: one file, so that after a crash the old or the new identity is there, whole. */
export const encodeIdentity = (stored: StoredIdentity): string => {
  const { rootNames: _names, rootStep: _step, authorities, revocationLists, rootChange, ...identity } = stored;
  const change = rootChange === null ? {} : { rootChange: Buffer.from(rootChange).toString('base64') };
  const record = { version: 2, ...identity, authorities: toBase64(authorities), revocationLists: toBase64(revocationLists), ...change };
  return `${JSON.stringify({ ...record, sha256: digestOf(record) }, null, 2)}\n`;
};

/** Reads identity.json of any version; `readFile` is asked for the files beside it that the first version had. Throws STATE_CORRUPT. */
export const decodeIdentity = async (text: string, readFile: (name: string) => Promise<string | null>): Promise<StoredIdentity> => {
  const content = parseJson(text);
  const second = secondSchema.safeParse(content);
  if (second.success) {
    const { sha256, version: _version, authorities, revocationLists, rootChange, ...identity } = second.data;
    const change = rootChange === undefined ? {} : { rootChange };
    if (digestOf({ version: 2, ...identity, authorities, revocationLists, ...change }) !== sha256)
      throw corruptIdentity('identity.json was changed');
    const known = { authorities: fromBase64(authorities), revocationLists: fromBase64(revocationLists), ...changeOf(rootChange) };
    return { ...identity, ...known, rootNames: namesOf(identity.root) };
  }
  const first = firstSchema.safeParse(content);
  if (!first.success) throw corruptIdentity('identity.json cannot be read', first.error);
  const chain = await readFile('chain.pem');
  const root = await readFile('root.pem');
  const { chainSha256, rootSha256, version: _version, ...identity } = first.data;
  if (chain === null || root === null || textHash(chain) !== chainSha256 || textHash(root) !== rootSha256)
    throw corruptIdentity('chain.pem or root.pem does not fit identity.json');
  return { ...identity, chain, root, ...newcomer, ...derivedFrom({ root, rootChange: null }), keyFile: firstKeyFile };
};

/** What a host knows that has just joined. */
export const newcomer = { authorities: [], revocationLists: [], rootChange: null } as const;

/** What follows from the rest of an identity. Throws CERTIFICATE_INVALID. */
export const derivedFrom = ({
  root,
  rootChange,
}: Pick<StoredIdentity, 'root' | 'rootChange'>): Pick<StoredIdentity, 'rootNames' | 'rootStep'> => ({
  rootNames: namesOf(root),
  rootStep: stepOf(rootChange),
});

/** What the bytes of a step say; they were checked when they were taken. */
const stepOf = (rootChange: Uint8Array | null): RootStep | null => (rootChange === null ? null : readRootChange(rootChangeOf(rootChange)));

const changeOf = (base64: string | undefined): Pick<StoredIdentity, 'rootChange' | 'rootStep'> => {
  const rootChange = base64 === undefined ? null : new Uint8Array(Buffer.from(base64, 'base64'));
  return { rootChange, rootStep: stepOf(rootChange) };
};

/** Each certificate of a PEM text by itself. */
export const pemCertificates = (text: string): readonly string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];

/** Distinguished names of the certificates in a PEM text. */
const namesOf = (pem: string): readonly string[] => pemCertificates(pem).map((certificate) => new X509Certificate(certificate).subject);

/** The directory does not hold what it should. */
export const corruptIdentity = (what: string, cause?: unknown): NestError =>
  new NestError(
    'STATE_CORRUPT',
    `The identity of this agent is damaged: ${what}. Restore the identity directory from a backup, or remove it and join again.`,
    { cause },
  );

/** Over the values in a fixed order: the order of keys in the file means nothing. */
const digestOf = (record: Readonly<Record<string, unknown>>): string =>
  textHash(JSON.stringify(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))));

const toBase64 = (parts: readonly Uint8Array[]): readonly string[] => parts.map((part) => Buffer.from(part).toString('base64'));
const fromBase64 = (parts: readonly string[]): readonly Uint8Array[] => parts.map((part) => new Uint8Array(Buffer.from(part, 'base64')));

const textHash = (text: string): string => createHash('sha256').update(text).digest('hex');

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses it with the message for the operator.
    return undefined;
  }
};
