/** Everything of the fleet that ends some day, as rows. */
import { X509Certificate, createHash } from 'node:crypto';
import { isSameKey } from '../../../proto/model/root-change.ts';
import type { CertificateKind, CertificateList, CertificateRow, RootState } from '../../bridge/model.ts';
import { rootSpkiHash } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { listEndsAt } from '../authority/revocation-list.ts';
import { isRootChanging, rootStepOf } from '../authority/root-change-record.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';
import { mayRenew } from './agent-renewal.ts';
import type { ClientCertificate } from './client-certificates.ts';

const dayMs = 86_400_000;

export interface CertificateSource {
  readonly keys: FleetKeys;
  readonly hosts: readonly HostRecord[];
  /** Why the last renewal of a host failed. */
  readonly problemOf: (hostId: string) => string | null;
  /** Whether the access bundle locks the device with this key. */
  readonly isLocked: (fingerprint: string) => boolean;
  /** Made on this console, in that order. */
  readonly clients: readonly ClientCertificate[];
  /** The newest access bundle; null where there is none. */
  readonly bundle: AccessEnds | null;
  readonly now: number;
}

/** What of an access bundle ends. Times: milliseconds since the Unix epoch. */
export interface AccessEnds {
  readonly epoch: number;
  readonly revision: number;
  readonly endsAt: number;
  /** Whether this console signs the next one by itself. */
  readonly isOwner: boolean;
  /** API keys that do not live for ever. */
  readonly keys: readonly { readonly subject: string; readonly keyId: string; readonly endsAt: number }[];
}

/** All rows, what ends first before the rest. */
export const certificateListOf = (source: CertificateSource): CertificateList => {
  const rows = [
    ...ownRows(source),
    ...deviceRows(source),
    ...accessRows(source),
    ...clientRows(source),
    ...listRows(source),
    ...hostRows(source),
  ];
  return { at: source.now, root: rootStateOf(source.keys), rows: rows.sort((a, b) => a.endsAt - b.endsAt) };
};

/** Where the root is. */
export const rootStateOf = (keys: FleetKeys): RootState => ({
  isHere: keys.root.privateKey !== null,
  fingerprint: Buffer.from(rootSpkiHash(keys)).toString('hex'),
  endsAt: new X509Certificate(keys.root.certificate).validToDate.getTime(),
});

/** How near an end is. */
export const alertOf = (kind: CertificateKind, endsAt: number, now: number): CertificateRow['alert'] => {
  const leftMs = endsAt - now;
  if (leftMs <= 0) return 'ended';
  if (leftMs <= dayMs) return 'day';
  if (leftMs <= 7 * dayMs) return 'week';
  return leftMs <= 30 * dayMs && !liveAMonth.has(kind) ? 'month' : 'none';
};

/** What lives for 30 days would always be near its end. */
const liveAMonth: ReadonlySet<CertificateKind> = new Set(['operator', 'access-bundle']);

const rowOf = (
  source: CertificateSource,
  row: Omit<CertificateRow, 'alert' | 'isRevoked' | 'hostId'> & { readonly hostId?: string },
): CertificateRow => {
  const isListed = source.keys.revocation?.revoked.some(({ serial }) => serial === row.serial) ?? false;
  const isLocked = row.kind === 'operator' && row.fingerprint !== null && source.isLocked(row.fingerprint);
  return {
    hostId: null,
    ...row,
    note: row.kind === 'operator' && (isListed || isLocked) ? revokedNote(isListed, isLocked) : row.note,
    alert: alertOf(row.kind, row.endsAt, source.now),
    isRevoked: isListed || isLocked,
  };
};

const revokedNote = (isListed: boolean, isLocked: boolean): string => {
  if (!isLocked)
    return 'On the list of revoked certificates. Its device is not locked: an owner does that with "nest access lock device/<key>".';
  return isListed
    ? 'On the list of revoked certificates, and its device is locked in the access bundle.'
    : 'Its device is locked in the access bundle. The list needs the authority for operators, which is not on this console.';
};

/** Of the first certificate in a text. */
export const describeCertificate = (pem: string): Pick<ClientCertificate, 'serial' | 'fingerprint' | 'endsAt'> => {
  const certificate = new X509Certificate(pem);
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    serial: certificate.serialNumber.toLowerCase(),
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    endsAt: certificate.validToDate.getTime(),
  };
};

const ownRows = (source: CertificateSource): readonly CertificateRow[] => {
  const { keys } = source;
  const hasRoot = keys.root.privateKey !== null;
  const root = rowOf(source, {
    kind: 'root',
    name: `${keys.fleetName} fleet root`,
    ...describeCertificate(keys.root.certificate),
    note: hasRoot ? 'Its key is on this console. Keep it in a safe: "nest fleet root export".' : 'Its key is not on this console.',
  });
  const authorities = (['agents', 'operators'] as const).flatMap((role) => {
    const authority = keys.authorities?.[role];
    if (authority === undefined) return [];
    const note = hasRoot
      ? 'Renewed at an unlock when due.'
      : 'Its renewal needs the key of the root: "nest fleet root restore" when an alert is shown.';
    return [rowOf(source, { kind: 'authority', name: role, ...describeCertificate(authority.certificate), note })];
  });
  return [root, ...otherRoot(source), ...authorities];
};

/** While the root changes: the one that does not issue. */
const otherRoot = (source: CertificateSource): readonly CertificateRow[] => {
  const { keys } = source;
  const step = isRootChanging(keys) ? rootStepOf(keys) : null;
  const present = new X509Certificate(keys.root.certificate);
  const other = [step?.from, step?.to].find((one) => one !== undefined && !isSameKey(one, present));
  if (other === undefined) return [];
  const isNew = other === step?.to;
  const note = isNew ? 'Follows the present root: "nest fleet rotate-root status".' : 'Goes when the change of the root is over.';
  return [
    rowOf(source, {
      kind: 'root',
      name: `${keys.fleetName} fleet root (${isNew ? 'next' : 'former'})`,
      ...describeCertificate(other.toString()),
      note,
    }),
  ];
};

/** This device first, then others that were admitted here. */
const deviceRows = (source: CertificateSource): readonly CertificateRow[] => {
  const { keys } = source;
  const own = rowOf(source, {
    kind: 'operator',
    name: `${keys.operatorName} (this device)`,
    ...describeCertificate(keys.operator.certificate),
    note:
      (keys.authorities?.operators ?? keys.root).privateKey === null
        ? 'Ask an owner to admit this device again before it ends: "nest fleet request-access".'
        : 'Renewed by itself when a third of its life is used.',
  });
  const others = (keys.devices ?? [])
    .filter(({ serial }) => serial !== own.serial)
    .map(({ name, serial, fingerprint, endsAt }) =>
      rowOf(source, {
        kind: 'operator',
        name,
        serial,
        fingerprint,
        endsAt,
        note: 'Admitted here. Its operator asks again before it ends.',
      }),
    );
  return [own, ...others];
};

const accessRows = (source: CertificateSource): readonly CertificateRow[] => {
  const { bundle } = source;
  if (bundle === null) return [];
  const { epoch, revision, isOwner } = bundle;
  const nothing = { serial: null, fingerprint: null };
  return [
    rowOf(source, {
      kind: 'access-bundle',
      name: `access bundle, epoch ${String(epoch)}, revision ${String(revision)}`,
      ...nothing,
      endsAt: bundle.endsAt,
      note: isOwner
        ? 'Signed anew by itself after ten days while this console is open; "nest access renew" does it now.'
        : 'The console of an owner signs it anew after ten days; ask one to open it, or to run "nest access renew".',
    }),
    ...bundle.keys.map(({ subject, keyId, endsAt }) =>
      rowOf(source, {
        kind: 'client-key',
        name: `${subject} key ${keyId}`,
        ...nothing,
        endsAt,
        note: `Not renewed by itself: "nest access clients key ${programOf(subject)}" makes the next, then revoke this one.`,
      }),
    ),
  ];
};

const programOf = (subject: string): string => subject.replace(/^client\//, '');

/** Of a program that got a newer one only the newer is watched; the other can still be revoked. */
const clientRows = (source: CertificateSource): readonly CertificateRow[] => {
  const newest = new Map(source.clients.map(({ subject, serial }) => [subject, serial]));
  return source.clients.map(({ subject, serial, fingerprint, endsAt }) => {
    const note = `Not renewed by itself: "nest access clients certificate ${programOf(subject)} <file>" makes the next.`;
    const row = rowOf(source, { kind: 'client', name: subject, serial, fingerprint, endsAt, note });
    if (newest.get(subject) === serial) return row;
    return { ...row, alert: 'none', note: 'A newer one was made for this program. Revoke this one when it is not used any more.' };
  });
};

const listRows = (source: CertificateSource): readonly CertificateRow[] =>
  Object.entries(source.keys.revocation?.lists ?? {}).map(([issuer, list]) => {
    const authority = issuer === 'root' ? source.keys.root : source.keys.authorities?.[issuer === 'agents' ? 'agents' : 'operators'];
    return rowOf(source, {
      kind: 'revocation-list',
      name: `revoked by ${issuer}`,
      serial: null,
      fingerprint: null,
      endsAt: listEndsAt(Buffer.from(list ?? '', 'base64')),
      note:
        authority?.privateKey === null
          ? 'A new one needs a key that is not on this console. When it ends, TLS alone refuses nobody; access rules still do.'
          : 'Renewed by itself and taken to every host.',
    });
  });

const hostRows = (source: CertificateSource): readonly CertificateRow[] =>
  source.hosts.map(({ hostId, name, spkiSha256, certificateEndsAt, certificateSerial }) =>
    rowOf(source, {
      kind: 'agent',
      name,
      hostId,
      serial: certificateSerial ?? null,
      fingerprint: spkiSha256,
      endsAt: certificateEndsAt,
      note: source.problemOf(hostId) ?? agentNote(source.keys),
    }),
  );

const agentNote = (keys: FleetKeys): string =>
  mayRenew(keys)
    ? 'Renewed while it is connected, when a third of its life is used.'
    : 'Renewed by a console that holds the authority for agents; this one does not.';
