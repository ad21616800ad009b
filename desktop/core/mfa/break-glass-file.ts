/** An owner's key for a safe: under a passphrase of its own, with the names of hosts and clusters, so that grants are made without a network. */
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { envelopeOf, envelopeText } from '../../../proto/model/access/storage.ts';
import { parseLevel } from '../../../proto/model/access/level.ts';
import { breakGlassType, readGrant, sealGrant } from '../../../proto/model/break-glass.ts';
import type { BreakGlassGrant } from '../../../proto/model/break-glass.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { GrantText } from '../../bridge/mfa-model.ts';
import { ulidOf } from '../../lib/api.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { ownerEntryOf, signerOf } from '../access/owner-key.ts';
import { openText, sealText } from '../vault/sealed-text.ts';

const namedMax = 20_000;
const fileSchema = z.strictObject({
  format: z.literal('nest-break-glass'),
  version: z.literal(1),
  fleetId: z.string(),
  fleetName: z.string(),
  owner: z.string(),
  keyId: z.string(),
  hosts: z.array(z.strictObject({ id: z.string(), name: z.string() })).max(namedMax),
  clusters: z.array(z.string()).max(namedMax),
  sealed: z.unknown(),
});
type BreakGlassFile = z.output<typeof fileSchema>;

export interface SealRequest {
  readonly fleetId: string;
  readonly fleetName: string;
  /** "operator/ada" */
  readonly owner: string;
  /** PEM. */
  readonly ownerKey: string;
  readonly hosts: BreakGlassFile['hosts'];
  readonly clusters: readonly string[];
}

/** Text of the file. Raises PASSPHRASE_WEAK. */
export const sealBreakGlass = async (request: SealRequest, passphrase: string, random: RandomBytes): Promise<string> => {
  const { ownerKey, ...named } = request;
  const { keyId } = ownerEntryOf(signerOf(ownerKey), request.owner);
  const plan = { format: 'nest-break-glass' as const, version: 1 as const, ...named, keyId, clusters: [...named.clusters] };
  const sealed = await sealText({ label: labelOf(plan), text: ownerKey }, passphrase, random);
  return `${JSON.stringify({ ...plan, sealed } satisfies BreakGlassFile, null, 2)}\n`;
};

export interface GrantRequest {
  readonly holder: string;
  /** Name or id. */
  readonly host?: string | undefined;
  readonly cluster?: string | undefined;
  readonly minutes: number;
  readonly reason: string;
}

/** Makes and signs a grant. Raises INPUT_INVALID, PASSPHRASE_WRONG, HOST_UNKNOWN, NOT_FOUND. */
export const grantBreakGlass = async (
  sealed: { readonly file: string; readonly passphrase: string },
  request: GrantRequest,
  at: { readonly now: number; readonly random: RandomBytes },
): Promise<GrantText> => {
  const { file, signer } = await openFile(sealed);
  const grant: BreakGlassGrant = {
    grantId: ulidOf(at.now, at.random),
    fleetId: file.fleetId,
    holder: request.holder,
    level: levelOf(file, request),
    reason: request.reason,
    notBeforeMs: Math.round(at.now),
    expiresAtMs: Math.round(at.now) + request.minutes * 60_000,
  };
  // Read as a host will, so that nobody stands before it with a grant that is none.
  const envelope = sealGrant(grant, [signer]);
  readGrant(envelope);
  return textOf(grant, envelopeText(envelope));
};

/** Adds the signature of another owner. Raises INPUT_INVALID, PASSPHRASE_WRONG. */
export const cosignBreakGlass = async (
  sealed: { readonly file: string; readonly passphrase: string },
  text: string,
): Promise<GrantText> => {
  const { signer } = await openFile(sealed);
  const envelope = envelopeOf(text.trim());
  const grant = readGrant(envelope);
  const own = sealEnvelope(breakGlassType, envelope.payload, [signer]).signatures;
  const kept = envelope.signatures.filter(({ keyId }) => !own.some((mine) => mine.keyId.equals(keyId)));
  return textOf(grant, envelopeText({ ...envelope, signatures: [...kept, ...own] }));
};

const textOf = ({ holder, level, expiresAtMs }: BreakGlassGrant, grant: string): GrantText => ({
  grant,
  holder,
  level,
  until: expiresAtMs,
});

const labelOf = ({ fleetId, keyId }: Pick<BreakGlassFile, 'fleetId' | 'keyId'>): string => `nest break-glass ${fleetId} ${keyId}`;

const openFile = async ({
  file: text,
  passphrase,
}: {
  readonly file: string;
  readonly passphrase: string;
}): Promise<{ readonly file: BreakGlassFile; readonly signer: EnvelopeSigner }> => {
  const parsed = fileSchema.safeParse(jsonOf(text));
  if (!parsed.success)
    throw new NestError('INPUT_INVALID', 'This is no file of "nest break-glass seal". Choose another.', { cause: parsed.error });
  const file = parsed.data;
  const pem = await openText(labelOf(file), file.sealed, passphrase);
  createPrivateKey(pem);
  return { file, signer: signerOf(pem) };
};

const levelOf = ({ hosts, clusters }: BreakGlassFile, { host, cluster }: GrantRequest): string => {
  if ((host === undefined) === (cluster === undefined))
    throw new NestError('INPUT_INVALID', 'A grant is for one host or for one cluster. Name one of them.');
  if (cluster !== undefined) {
    if (clusters.includes(cluster)) return `cluster/${cluster}`;
    throw new NestError(
      'NOT_FOUND',
      `There was no cluster ${cluster} when this file was sealed. It knows: ${clusters.join(', ') || 'none'}.`,
    );
  }
  const known = hosts.find(({ id, name }) => name === host || id === host);
  // Hosts that joined since are named by their id.
  const level = `host/${known?.id ?? host ?? ''}`;
  if (parseLevel(level) !== null) return level;
  throw new NestError(
    'HOST_UNKNOWN',
    `There was no host ${host ?? ''} when this file was sealed. Name it by its id, as its own "nest-agent status" says.`,
  );
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};
