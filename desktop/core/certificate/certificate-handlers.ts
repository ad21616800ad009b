/** Certificates of the fleet and the key of its root, as the bridge asks for them. */
import { X509Certificate } from 'node:crypto';
import { NestError, errorCodeOf } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { CertificateList } from '../../bridge/model.ts';
import { refreshFleetKeys, rootSpkiHash } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { emptyRevocation, refreshRevocation, revokedMax } from '../authority/revocation-list.ts';
import type { Revoked } from '../authority/revocation-list.ts';
import { isRootChanging } from '../authority/root-change-record.ts';
import { openRoot, sealRoot } from '../authority/root-file.ts';
import type { FleetSession } from '../fleet/fleet-session.ts';
import type { HandlerContext } from '../handler-context.ts';
import { certificateListOf, rootStateOf } from './certificate-rows.ts';
import type { AccessEnds } from './certificate-rows.ts';
import { clientCertificates } from './client-certificates.ts';
import { isDeviceLocked, lockDevice } from './device-lock.ts';

type Handled = Extract<keyof BridgeHandlers, `certificate.${string}`>;
type RootMethod = Extract<Handled, `certificate.root.${string}`>;

export const certificateHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  ...rootHandlers(context),
  ...listHandlers(context),
});

const listHandlers = (context: HandlerContext): Pick<BridgeHandlers, Exclude<Handled, RootMethod>> => {
  const { keeper, random, clock } = context;
  return {
    'certificate.list': () => listOf(context),
    'certificate.renew': async ({ hostId, freshKey }, signal) => {
      await (await keeper.session()).certificates.renew(hostId, { hasFreshKey: freshKey ?? false, signal });
      return listOf(context);
    },
    'certificate.revoke': async ({ serial }, signal) => {
      const { rows } = await listOf(context);
      const row = rows.find((known) => known.serial === serial);
      if (row === undefined) throw new NestError('NOT_FOUND', 'No certificate of this fleet has that serial number. Look at the list.');
      if (row.kind === 'authority' && row.name === 'agents')
        throw new NestError(
          'INPUT_INVALID',
          'Revoking the authority for agents would cut this console off from every host. Its hosts are pinned by their keys: remove the host that is not yours instead.',
        );
      const session = await keeper.session();
      if (row.kind === 'authority') refuseWhileChanging(session.keys);
      const isOwn = row.serial === operatorSerial(session.keys);
      const issuer = issuerOf(row.kind, session.keys);
      // A device that was admitted again has several certificates for its one key.
      const entries = rows
        .filter((one) => one === row || (row.kind === 'operator' && one.fingerprint === row.fingerprint))
        .map(({ serial: listed, name, endsAt }): Revoked => ({ issuer, serial: listed ?? serial, name, at: clock.now(), endsAt }));
      // Of another device the lock goes first: it cuts what runs. Our own key is exchanged before it is locked.
      const isLocked = !isOwn && lockDevice(session, row);
      try {
        await keeper.update((keys) => revoke(keys, entries, { now: clock.now(), random }), signal);
      } catch (error) {
        if (!isLocked || errorCodeOf(error) !== 'SCOPE_MISSING') throw error;
      }
      if (isOwn) lockDevice(session, row);
      await Promise.all([session.certificates.deliver(signal), session.access.sync.syncAll(signal)]);
      return listOf(context);
    },
  };
};

const listOf = async ({ keeper, roster, cache, clock }: HandlerContext): Promise<CertificateList> => {
  const session = await keeper.session();
  const { keys, certificates } = session;
  return certificateListOf({
    keys,
    isLocked: (fingerprint) => isDeviceLocked(session, fingerprint),
    hosts: roster.all.map(({ record }) => record),
    problemOf: (hostId) => certificates.problemOf(hostId),
    clients: clientCertificates(cache),
    bundle: accessEndsOf(session),
    now: clock.now(),
  });
};

const accessEndsOf = ({ access }: FleetSession): AccessEnds | null => {
  const { chain, publicKey } = access.book;
  const { head, body } = chain;
  if (head === null || body === null) return null;
  return {
    epoch: head.epoch,
    revision: head.revision,
    endsAt: head.notAfterMs,
    isOwner: body.owners.some(({ keyId }) => keyId === publicKey?.keyId),
    keys: body.clients.flatMap(({ subject, keys }) =>
      keys.flatMap(({ keyId, expiresAtMs }) => (expiresAtMs === 0n ? [] : [{ subject, keyId, endsAt: Number(expiresAtMs) }])),
    ),
  };
};

const operatorSerial = ({ operator }: FleetKeys): string => new X509Certificate(operator.certificate).serialNumber.toLowerCase();

/** Whose list it goes on. Raises INPUT_INVALID for what cannot be revoked. */
const issuerOf = (kind: CertificateList['rows'][number]['kind'], { authorities }: FleetKeys): Revoked['issuer'] => {
  if (kind === 'authority') return 'root';
  if (kind === 'root' || kind === 'revocation-list')
    throw new NestError('INPUT_INVALID', 'The root revokes; nobody revokes the root. Make a new fleet when its key is lost to somebody.');
  if (authorities === undefined) return 'root';
  return kind === 'agent' ? 'agents' : 'operators';
};

/** Raises SCOPE_MISSING when the key of the list's issuer is not here, LIMIT_REACHED. */
const revoke = async (
  keys: FleetKeys,
  wanted: readonly Revoked[],
  context: { readonly now: number; readonly random: HandlerContext['random'] },
) => {
  const record = keys.revocation ?? emptyRevocation;
  const known = new Set(record.revoked.map(({ serial }) => serial));
  const entries = wanted.filter(({ serial }) => !known.has(serial));
  const [entry] = entries;
  if (entry === undefined) return keys;
  const authority = entry.issuer === 'root' ? keys.root : keys.authorities?.[entry.issuer];
  if (authority?.privateKey === null || authority === undefined)
    throw new NestError(
      'SCOPE_MISSING',
      'The key that must sign this list is not on this console. Restore it ("nest fleet root restore"), or ask an owner of the fleet.',
    );
  const living = record.revoked.filter(({ endsAt }) => endsAt > context.now);
  if (living.length + entries.length > revokedMax)
    throw new NestError('LIMIT_REACHED', `The list is full with ${String(revokedMax)} certificates. Wait for some to end by themselves.`);
  const revocation = await refreshRevocation(
    keys,
    { ...record, revoked: [...living, ...entries] },
    { ...context, isChanged: (issuer) => issuer === entry.issuer },
  );
  return refreshFleetKeys({ ...keys, revocation }, context);
};

/** Raises INPUT_INVALID. */
const refuseWhileChanging = (keys: FleetKeys): void => {
  if (!isRootChanging(keys)) return;
  throw new NestError('INPUT_INVALID', 'The fleet changes its root. Go on to the end or roll back first: "nest fleet rotate-root status".');
};

const rootHandlers = ({ keeper, random }: HandlerContext): Pick<BridgeHandlers, RootMethod> => ({
  'certificate.root.export': async ({ passphrase }) => {
    const { keys } = await keeper.session();
    const { fleetId, fleetName } = keys;
    const { certificate, privateKey } = keys.root;
    if (privateKey === null)
      throw new NestError('NOT_FOUND', 'The key of the root is not on this console: restore it first, or use the file that holds it.');
    const file = await sealRoot({ fleetId, fleetName, root: { certificate, privateKey } }, passphrase, { random });
    return { fileName: `nest-root-${fleetId}.json`, file };
  },
  'certificate.root.remove': async ({ file, passphrase }, signal) => {
    const keys = await keeper.update(async (present) => {
      refuseWhileChanging(present);
      await rootOf(present, file, passphrase);
      if (present.authorities === undefined)
        throw new NestError('NOT_FOUND', 'This fleet has no issuing authorities yet. Lock and unlock it once, then try again.');
      return { ...present, root: { ...present.root, privateKey: null } };
    }, signal);
    return rootStateOf(keys);
  },
  'certificate.root.restore': async ({ file, passphrase }, signal) => {
    const keys = await keeper.update(
      async (present) => ({ ...present, root: { ...present.root, privateKey: await rootOf(present, file, passphrase) } }),
      signal,
    );
    return rootStateOf(keys);
  },
});

/** The private key in the file. Raises FLEET_MISMATCH when it is another root's, and what opening it raises. */
const rootOf = async (keys: FleetKeys, file: string, passphrase: string): Promise<string> => {
  const { root } = await openRoot(file, passphrase);
  if (!Buffer.from(rootSpkiHash({ root })).equals(rootSpkiHash(keys)))
    throw new NestError('FLEET_MISMATCH', 'This file holds the root of another fleet. Choose the file of this one.');
  return root.privateKey;
};
