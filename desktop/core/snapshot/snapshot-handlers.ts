/** Snapshot files, as the bridge asks for them. */
import type { KeyObject } from 'node:crypto';
import { createHash, X509Certificate } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import type { AccessBody } from '../../../proto/model/access/body.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { SnapshotFile, SnapshotInfo } from '../../bridge/snapshot-model.ts';
import { rootNamesOf } from '../authority/root-name.ts';
import type { HandlerContext } from '../handler-context.ts';
import { shortSubject, standingOf } from './author-standing.ts';
import { listRecipients, putRecipient, removeRecipient } from './recipient-book.ts';
import { collectEntries } from './snapshot-collect.ts';
import { comparePolicies, compareSides, sideOfEntries, sideOfReader } from './snapshot-compare.ts';
import type { ComparedSide } from './snapshot-compare.ts';
import { SnapshotDesk } from './snapshot-desk.ts';
import type { SignedSnapshot } from './snapshot-file.ts';
import { makeIdentity, openIdentity } from './snapshot-key.ts';
import type { SnapshotSecret } from './snapshot-key.ts';
import { collectedOf, makeSnapshot, ownRedaction } from './snapshot-maker.ts';
import { searchHosts } from './snapshot-search.ts';
import { countersOf, flowsOf, hostDetailOf, policyRevisionOf, traceOf } from './snapshot-views.ts';

type Handled = Extract<keyof BridgeHandlers, `snapshot.${string}`>;

/** Roots of this console's own fleets, as it saw them unlocked. */
const rootsName = 'snapshot.roots';
const rootsMax = 16;

export const snapshotHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => {
  const desk = new SnapshotDesk(context);
  return { ...fileHandlers(context, desk), ...viewHandlers(context, desk), ...compareHandlers(context, desk), ...bookHandlers(context) };
};

type FileMethod = `snapshot.${'create' | 'read' | 'begin' | 'append' | 'inspect' | 'open' | 'close' | 'list'}`;

const fileHandlers = (context: HandlerContext, desk: SnapshotDesk): Pick<BridgeHandlers, FileMethod> => ({
  'snapshot.create': async (input, signal) => {
    desk.checkRoom();
    const { fileName, bytes } = await makeSnapshot(context, input, signal);
    const snapshotId = desk.put(fileName, bytes);
    // Read back as anybody would: what cannot be read is not handed out.
    return inspect(context, desk, { snapshotId });
  },
  'snapshot.read': ({ snapshotId, offset }) => attempt(() => desk.read(snapshotId, offset)),
  'snapshot.begin': ({ fileName, bytes }) => attempt(() => desk.begin(fileName, bytes)),
  'snapshot.append': ({ snapshotId, offset, data }) => attempt(() => desk.append(snapshotId, offset, data)),
  'snapshot.inspect': (input) => inspect(context, desk, input),
  'snapshot.open': async (input) => {
    const { info } = await inspect(context, desk, input);
    if (info !== null) refuseUntrusted(info, input.acceptAuthor === true);
    return desk.open(input.snapshotId, await secretOf(input));
  },
  'snapshot.close': ({ snapshotId }) => {
    desk.close(snapshotId);
    return Promise.resolve(null);
  },
  'snapshot.list': () => attempt(() => desk.list()),
});

type ViewMethod = `snapshot.${'hosts' | 'host' | 'policy' | 'flows' | 'counters' | 'trace'}`;

const viewHandlers = (context: HandlerContext, desk: SnapshotDesk): Pick<BridgeHandlers, ViewMethod> => ({
  'snapshot.hosts': (input) =>
    attempt(() => {
      const { reader } = desk.reader(input.snapshotId);
      return searchHosts(reader, input, reader.header.createdAtMs);
    }),
  'snapshot.host': async ({ snapshotId, hostId }) => hostDetailOf(desk.reader(snapshotId).reader, hostId),
  'snapshot.policy': async ({ snapshotId, hostId }) => policyRevisionOf(desk.reader(snapshotId).reader, hostId),
  'snapshot.flows': async (input) => flowsOf(desk.reader(input.snapshotId).reader, input),
  'snapshot.counters': async ({ snapshotId, hostId }) => countersOf(desk.reader(snapshotId).reader, hostId),
  'snapshot.trace': async (input) => traceOf(context, desk.reader(input.snapshotId).reader, input),
});

const compareHandlers = (
  context: HandlerContext,
  desk: SnapshotDesk,
): Pick<BridgeHandlers, 'snapshot.compare' | 'snapshot.compare.policy'> => ({
  'snapshot.compare': async ({ before, after }) => {
    const profile = profileOf(desk, [before, after]);
    const side = async (id: string): Promise<ComparedSide> => (id === 'live' ? liveSide(context, profile) : fileSide(desk, id));
    return compareSides(await side(before), await side(after));
  },
  'snapshot.compare.policy': async ({ before, after, hostId }) => {
    const profile = profileOf(desk, [before, after]);
    const policy = async (id: string): Promise<string | null> => {
      if (id === 'live') return livePolicy(context, hostId, profile);
      const { reader } = desk.reader(id);
      const host = reader.find(hostId);
      return host === null ? null : reader.policy(host);
    };
    return comparePolicies(await policy(before), await policy(after));
  },
});

const bookHandlers = ({
  cache,
  random,
}: HandlerContext): Pick<BridgeHandlers, `snapshot.${'recipients' | 'recipient.put' | 'recipient.remove' | 'keygen'}`> => ({
  'snapshot.recipients': () => attempt(() => listRecipients(cache)),
  'snapshot.recipient.put': (entry) => attempt(() => putRecipient(cache, entry)),
  'snapshot.recipient.remove': ({ name }) => attempt(() => removeRecipient(cache, name)),
  'snapshot.keygen': async ({ name, passphrase }) => ({
    ...(await makeIdentity(passphrase, random)),
    fileName: `nest-snapshot-key-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.json`,
  }),
});

/** Looks at a file with what this console knows now: its own roots, and what the access bundle says of the author. */
const inspect = async (
  context: HandlerContext,
  desk: SnapshotDesk,
  { snapshotId, rootSha256 }: { readonly snapshotId: string; readonly rootSha256?: string | undefined },
): Promise<SnapshotFile> => {
  const known = await knownFleet(context);
  return desk.inspect(snapshotId, (signed) => infoOf(signed, known, rootSha256));
};

interface KnownFleet {
  readonly roots: readonly string[];
  readonly fleetId: string | null;
  readonly body: AccessBody | null;
}

/** The roots of this console are remembered, so that a locked one knows its own files. */
const knownFleet = async ({ keeper, cache }: HandlerContext): Promise<KnownFleet> => {
  const kept = cache.value<readonly string[]>(rootsName) ?? [];
  const session = await keeper.session().catch(() => null);
  if (session === null) return { roots: kept, fleetId: null, body: null };
  const { keys, access } = session;
  const root = createHash('sha256').update(new X509Certificate(keys.root.certificate).raw).digest('hex');
  const roots = kept.includes(root) ? kept : [...kept, root].slice(-rootsMax);
  if (roots !== kept) cache.putValue(rootsName, roots);
  return { roots, fleetId: keys.fleetId, body: access.book.chain.body };
};

const infoOf = ({ header, author, rootSha256 }: SignedSnapshot, known: KnownFleet, named: string | undefined): SnapshotInfo => {
  const who = { subject: shortSubject(author.subject), device: author.device };
  return {
    fleetId: header.fleetId,
    fleetName: header.fleetName,
    createdAt: header.createdAtMs,
    author: who.subject,
    device: who.device,
    rootSha256,
    trust: known.roots.includes(rootSha256) ? 'own' : isNamed(header.fleetRoot, named) ? 'named' : 'foreign',
    standing: standingOf(header.fleetId === known.fleetId ? known.body : null, who, header.profile),
    profile: header.profile,
    hosts: header.hosts,
    consoleVersion: header.consoleVersion,
    accessRevision: header.accessEpoch === 0 ? null : header.accessRevision,
    hasPassphrase: header.recipients.some(({ kind }) => kind === 'passphrase'),
    keyHolders: header.recipients.filter(({ kind }) => kind === 'key').length,
    maskKeyId: header.maskKeyId.length === 0 ? null : header.maskKeyId.toString('hex'),
  };
};

const isNamed = (root: Uint8Array, named: string | undefined): boolean => {
  if (named === undefined) return false;
  const names = rootNamesOf(root);
  return named === names.certificate || named === names.key;
};

/** Before any key is touched: who signed, and whether they might. Raises SNAPSHOT_FOREIGN, REVOKED, SCOPE_MISSING. */
const refuseUntrusted = ({ trust, standing, rootSha256, fleetName, author }: SnapshotInfo, acceptsAuthor: boolean): void => {
  if (trust === 'foreign')
    throw new NestError(
      'SNAPSHOT_FOREIGN',
      `The snapshot is of ${JSON.stringify(fleetName)}, whose root this console does not know. Compare its SHA-256 ${rootSha256} with what its author tells you, and name it.`,
      { details: { rootSha256 } },
    );
  if (acceptsAuthor || standing === 'good' || standing === 'unknown') return;
  if (standing === 'locked')
    throw new NestError(
      'REVOKED',
      `${author}, who signed this snapshot, is locked, or the device is: it may be forged. Accept the author to open it all the same.`,
    );
  throw new NestError('SCOPE_MISSING', `${author}, who signed this snapshot, may not make it. Accept the author to open it all the same.`, {
    details: { subject: author },
  });
};

const secretOf = async (input: Parameters<BridgeHandlers['snapshot.open']>[0]): Promise<SnapshotSecret> => {
  if (input.identity !== undefined) {
    const key: KeyObject = await openIdentity(input.identity.file, input.identity.passphrase);
    return { kind: 'identity', key };
  }
  if (input.passphrase !== undefined) return { kind: 'passphrase', passphrase: input.passphrase };
  throw new NestError('INPUT_INVALID', 'A snapshot opens with its passphrase, or with the key of a recipient. Give one.');
};

const fileSide = (desk: SnapshotDesk, snapshotId: string): ComparedSide => {
  const { reader, file } = desk.reader(snapshotId);
  const { createdAtMs, hosts } = reader.header;
  return sideOfReader({ snapshotId, title: file.fileName, at: createdAtMs, hosts }, reader);
};

/** The fleet as it is now is masked like the file it is compared with. */
const profileOf = (desk: SnapshotDesk, sides: readonly string[]): SnapshotInfo['profile'] => {
  const file = sides.find((id) => id !== 'live');
  return file === undefined ? 'config' : desk.reader(file).reader.header.profile;
};

const liveSide = (context: HandlerContext, profile: SnapshotInfo['profile']): Promise<ComparedSide> => {
  const { roster, cache, clock } = context;
  const redaction = ownRedaction(context, profile);
  const hosts = roster.all.map(collectedOf);
  return sideOfEntries(
    { snapshotId: 'live', title: 'the fleet now', at: clock.now(), hosts: hosts.length },
    redaction.keyId.toString('hex'),
    collectEntries(cache, redaction, { profile, hosts, flows: 0 }),
  );
};

const livePolicy = (context: HandlerContext, hostId: string, profile: SnapshotInfo['profile']): string | null => {
  const { roster, cache } = context;
  const host = roster.all.find(({ record }) => record.hostId === hostId);
  if (host === undefined) return null;
  const [found] = collectEntries(cache, ownRedaction(context, profile), { profile, hosts: [collectedOf(host)], flows: 0 });
  return found?.entry.policy ?? null;
};

/** A synchronous answer as a promise that also carries what was raised. */
const attempt = async <Result>(work: () => Result): Promise<Result> => Promise.resolve(work());
