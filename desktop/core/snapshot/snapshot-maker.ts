/** Makes a snapshot of the open fleet, signed by the operator's device of this console. */
import { X509Certificate } from 'node:crypto';
import { keyIdOf } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { AccessBody } from '../../../proto/model/access/body.ts';
import type { SnapshotProfile } from '../../../proto/model/snapshot-profile.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import { isCancelled, mapConcurrently, throwIfCancelled } from '../../lib/api.ts';
import { operatorSigner, operatorSubject } from '../authority/operator-signer.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HandlerContext } from '../handler-context.ts';
import { refreshDocuments } from '../hosts/document-refresh.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { imageOf } from '../policy/policy-check.ts';
import { shortSubject, standingOf } from './author-standing.ts';
import { recipientKeys } from './recipient-book.ts';
import { createRedaction } from './redaction.ts';
import type { Redaction } from './redaction.ts';
import { collectEntries } from './snapshot-collect.ts';
import type { CollectedHost } from './snapshot-collect.ts';
import { SnapshotWriter } from './snapshot-writer.ts';

const maskKeyName = 'snapshot.mask-key';
/** Hosts asked at the same time for a fresh snapshot. */
const refreshesMax = 16;

export type CreateInput = Parameters<BridgeHandlers['snapshot.create']>[0];

export interface MadeSnapshot {
  readonly fileName: string;
  readonly bytes: Buffer;
}

/**
 * Raises FLEET_LOCKED, FLEET_MISSING, SCOPE_MISSING or REVOKED when this operator may not, HOST_UNKNOWN, PASSPHRASE_WEAK, NOT_FOUND for a
 * recipient, INPUT_INVALID without any reader, LIMIT_REACHED.
 */
export const makeSnapshot = async (context: HandlerContext, input: CreateInput, signal: AbortSignal): Promise<MadeSnapshot> => {
  const { keeper, cache, clock, random, version } = context;
  const { keys, access } = await keeper.session();
  const { head, body } = access.book.chain;
  const signer = operatorSigner(() => keys);
  const author = operatorSubject(keys);
  refuseAuthor(body, { subject: shortSubject(author), device: keyIdOf(signer.publicKey).toString('hex') }, input.profile);
  const readers = { passphrase: input.passphrase ?? null, keys: recipientKeys(cache, input.recipients ?? []) };
  const hosts = chosenHosts(context, input.hostIds);
  if (input.fresh === true) await refresh(context, hosts, signal);
  const redaction = createRedaction(input.profile, maskKeyOf(cache, random));
  const createdAtMs = clock.now();
  const writer = new SnapshotWriter({ random, imageOf: (policy) => imageOrNull(policy, createdAtMs) });
  for (const { entry, leftFlows } of collectEntries(cache, redaction, { ...input, hosts: hosts.map(collectedOf) })) {
    throwIfCancelled(signal);
    await writer.add(entry, leftFlows);
  }
  const title = {
    fleetId: keys.fleetId,
    fleetName: keys.fleetName,
    createdAtMs,
    author,
    consoleVersion: version,
    profile: input.profile,
    accessEpoch: head?.epoch ?? 0,
    accessRevision: head?.revision ?? 0,
    maskKeyId: redaction.keyId,
    fleetRoot: Buffer.from(new X509Certificate(keys.root.certificate).raw),
  };
  return { fileName: fileNameOf(keys.fleetName, createdAtMs), bytes: await writer.finish(title, readers, signer) };
};

/** Masks as this console makes them: its own key is made at the first use and never leaves its data folder. */
export const ownRedaction = ({ cache, random }: Pick<HandlerContext, 'cache' | 'random'>, profile: SnapshotProfile): Redaction =>
  createRedaction(profile, maskKeyOf(cache, random));

/** A host of the roster as collecting takes it. */
export const collectedOf = (host: ManagedHost): CollectedHost => ({
  record: host.record,
  row: () => host.row(),
  reading: () => host.reading,
});

const refuseAuthor = (
  body: AccessBody | null,
  author: { readonly subject: string; readonly device: string },
  profile: SnapshotProfile,
): void => {
  const standing = standingOf(body, author, profile);
  if (standing === 'locked') throw new NestError('REVOKED', `${author.subject} is locked, or this device is. Ask an owner of the fleet.`);
  if (standing !== 'not-allowed') return;
  throw new NestError(
    'SCOPE_MISSING',
    profile === 'full'
      ? 'Only an owner of the fleet takes snapshots in which nothing is masked. Take the profile "diagnostic", or ask an owner.'
      : `${author.subject} does not hold snapshot:write anywhere. Ask an owner of the fleet.`,
    { details: { subject: author.subject, scope: 'snapshot:write' } },
  );
};

const chosenHosts = ({ roster }: HandlerContext, hostIds: readonly string[] | undefined): readonly ManagedHost[] => {
  if (hostIds === undefined) return roster.all;
  return [...new Set(hostIds)].map((hostId) => roster.get(hostId));
};

/** Hosts that answer say it anew; of the others stays what was kept. */
const refresh = async ({ cache, clock }: HandlerContext, hosts: readonly ManagedHost[], signal: AbortSignal): Promise<void> => {
  const live = hosts.filter(({ isLive }) => isLive);
  await mapConcurrently(live, refreshesMax, async (host) => {
    try {
      await refreshDocuments({ client: await host.client(signal), cache, hostId: host.record.hostId, clock }, signal);
    } catch (error) {
      if (isCancelled(error)) throw error;
    }
  });
};

const maskKeyOf = (cache: Pick<FleetCache, 'value' | 'putValue'>, random: (count: number) => Uint8Array): Uint8Array => {
  const kept = cache.value<string>(maskKeyName);
  if (kept !== null) return Buffer.from(kept, 'base64');
  const key = random(32);
  cache.putValue(maskKeyName, Buffer.from(key).toString('base64'));
  return key;
};

/** With the mappings in force at that time. Null for a policy of a time when other policies were possible. */
const imageOrNull = (policy: string, nowMs: number): Uint8Array | null => {
  try {
    return imageOf(policy, nowMs).image;
  } catch (error) {
    if (error instanceof NestError) return null;
    throw error;
  }
};

const fileNameOf = (fleetName: string, createdAtMs: number): string => {
  const name = fleetName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  const time = new Date(createdAtMs).toISOString().slice(0, 16).replaceAll(/[-:]/g, '');
  return `${name === '' ? 'fleet' : name}-${time}Z.nestsnap`;
};
