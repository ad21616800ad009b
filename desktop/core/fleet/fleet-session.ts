/** The life between unlocking and locking: keys in memory, hosts connected, enrolments and rollouts at work. */
import type { RootTrust } from '../../../proto/model/access/chain.ts';
import { rootTrustOf } from '../../../proto/model/root-change.ts';
import { createOperatorIdentity } from '../../grpc/api.ts';
import type { OperatorIdentity, OperatorMaterial } from '../../grpc/api.ts';
import { AccessBook } from '../access/access-book.ts';
import { AccessSync } from '../access/access-sync.ts';
import { operatorSlug } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { contextLists } from '../authority/revocation-list.ts';
import { admittingKeys } from '../authority/root-change.ts';
import { isRootChanging, rootStepOf, trustedRoots } from '../authority/root-change-record.ts';
import { createCertificateDesk } from '../certificate/certificate-desk.ts';
import type { CertificateDesk } from '../certificate/certificate-desk.ts';
import { openLicense } from '../license/open-license.ts';
import type { LicenseDesk } from '../license/license-desk.ts';
import type { LicenseSettings } from '../license/license-settings.ts';
import { createEnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { EnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import { operatorSigner, operatorSubject } from '../authority/operator-signer.ts';
import { IntentQueue } from '../intent/intent-queue.ts';
import { createBreakGlassDesk } from '../mfa/break-glass-desk.ts';
import type { BreakGlassDesk } from '../mfa/break-glass-desk.ts';
import { MfaDesk } from '../mfa/mfa-desk.ts';
import { RolloutBook } from '../policy/rollout-book.ts';
import type { RolloutBookOptions } from '../policy/rollout-book.ts';

import { ulidOf } from '../../lib/api.ts';
import { RolloutDesk } from '../rollout/rollout-desk.ts';
import { createRolloutHosts } from '../rollout/rollout-hosts.ts';
import { RolloutRecords } from '../rollout/rollout-records.ts';

/** How long an agent may take to come back with its new certificate. */
const enrolledAnswerMs = 8_000;

export interface FleetSession {
  /** As they are now. */
  readonly keys: FleetKeys;
  /** Takes changed keys; connections go on with what they have. */
  setKeys(keys: FleetKeys): void;
  readonly operator: OperatorIdentity;
  readonly desk: EnrollmentDesk;
  readonly rollouts: RolloutBook;
  readonly access: FleetAccess;
  readonly mfa: MfaDesk;
  readonly breakGlass: BreakGlassDesk;
  readonly certificates: CertificateDesk;
  readonly staged: RolloutDesk;
  readonly intents: IntentQueue;
  readonly license: LicenseDesk;
  close(): Promise<void>;
}

export interface FleetAccess {
  readonly book: AccessBook;
  readonly sync: AccessSync;
  /** Makes the first bundle when there can be none anywhere: the owner key is new, or no host ever got one. */
  begin(isOwnerNew: boolean): void;
}

/** How a session changes the keys it works with. */
export interface OwnKeys {
  /** Renews what this console holds, when due. */
  readonly refreshOwn: (signal: AbortSignal) => Promise<void>;
  /** Changes the keys, in the vault first. */
  readonly updateKeys: (change: (keys: FleetKeys) => Promise<FleetKeys>, signal: AbortSignal) => Promise<void>;
}

export interface FleetSessionOptions extends RolloutBookOptions, OwnKeys {
  readonly roster: HostRoster;
  /** Goes on by itself with the staged rollouts it conducted before, and asks the licence server: not a command that ends soon. */
  readonly resumesRollouts: boolean;
  readonly licensing: { readonly settings: LicenseSettings; readonly version: string };
}

/** Connects everything; the caller closes it. */
export const openFleetSession = (first: FleetKeys, options: FleetSessionOptions): FleetSession => {
  let keys = first;
  const { roster, clock, random, report } = options;
  const operator = createOperatorIdentity(materialOf(keys, clock.now()));
  const rollouts = new RolloutBook(options);
  const access = openAccess(() => keys, options);
  const license = openLicense(() => keys, access.book, { ...options, isAskingByItself: options.resumesRollouts });
  const { mfa, breakGlass } = openMfa(keys, { ...options, book: access.book, operator });
  const { intents, staged } = openStaged(() => keys, { ...options, mfa });
  roster.connect({ fleetId: keys.fleetId, operator });
  const desk = createEnrollmentDesk({
    keys: () => admittingKeys(keys),
    operator,
    clock,
    random,
    report,
    hosts: () => roster.all.map(({ record }) => record),
    admit: (admission) => license.admit(admission),
    onEnrolled: (record) => {
      roster.add(record);
    },
    answersAs: (record, signal) => roster.answersAs(record, enrolledAnswerMs, signal),
  });
  const certificates = createCertificateDesk({
    roster,
    keys: () => keys,
    refreshOwn: options.refreshOwn,
    updateKeys: options.updateKeys,
    clock,
    random,
    report,
  });
  return {
    get keys() {
      return keys;
    },
    setKeys: (next) => {
      keys = next;
      operator.renew(materialOf(next, clock.now()));
    },
    operator,
    desk,
    rollouts,
    access,
    mfa,
    breakGlass,
    certificates,
    staged,
    intents,
    license,
    close: async () => {
      await license.close();
      await access.sync.close();
      access.book.close();
      await certificates.close();
      await desk.close();
      await staged.close();
      await intents.close();
      await rollouts.close();
      await roster.disconnect();
    },
  };
};

const openAccess = (keysNow: () => FleetKeys, options: FleetSessionOptions): FleetAccess => {
  const keys = keysNow();
  const { roster, cache, clock, random, report } = options;
  const book = new AccessBook({
    cache,
    clock,
    random,
    fleetId: keys.fleetId,
    rootKey: () => keysNow().root.privateKey,
    trust: trustIn(keysNow),
    subject: `operator/${operatorSlug(keys.operatorName)}`,
    ownerKey: keys.owner ?? null,
  });
  const sync = new AccessSync({ book, roster, clock, report });
  sync.start();
  return {
    book,
    sync,
    begin: (isOwnerNew) => {
      const canBegin = keys.owner !== undefined && keysNow().root.privateKey !== null && book.chain.head === null;
      if (canBegin && (isOwnerNew || roster.all.length === 0)) book.change({ kind: 'begin' });
    },
  };
};

/** Asked for every status of every host: read anew only when the keys changed. */
const trustIn = (keysNow: () => FleetKeys): (() => RootTrust) => {
  const read = (keys: FleetKeys): { readonly keys: FleetKeys; readonly trust: RootTrust } => ({
    keys,
    trust: rootTrustOf(trustedRoots(keys), rootStepOf(keys)),
  });
  let known = read(keysNow());
  return () => {
    const keys = keysNow();
    if (keys.root !== known.keys.root || keys.rootChange !== known.keys.rootChange) known = read(keys);
    return known.trust;
  };
};

const openMfa = (
  { fleetId, fleetName }: FleetKeys,
  options: FleetSessionOptions & { readonly book: AccessBook; readonly operator: OperatorIdentity },
): Pick<FleetSession, 'mfa' | 'breakGlass'> => {
  const breakGlass = createBreakGlassDesk({ ...options, fleetId });
  return { breakGlass, mfa: new MfaDesk({ ...options, fleetName, isGranted: (hostId) => breakGlass.isGranted(hostId) }) };
};

const materialOf = (keys: FleetKeys, now: number): OperatorMaterial => ({
  fleetRoot: trustedRoots(keys),
  certificate: keys.operator.certificate,
  privateKey: keys.operator.privateKey,
  // While two roots are believed no list tells which of them it is about: hosts are pinned by their keys.
  revocationLists: isRootChanging(keys) ? [] : contextLists(keys.revocation, now),
});

/** Staged rollouts and the intents they leave for hosts that are away, signed by this operator's device. */
const openStaged = (
  keysNow: () => FleetKeys,
  options: FleetSessionOptions & { readonly mfa: MfaDesk },
): Pick<FleetSession, 'staged' | 'intents'> => {
  const { roster, cache, clock, random, report } = options;
  const { fleetId } = keysNow();
  const signed = { signer: operatorSigner(keysNow), operator: operatorSubject(keysNow()), fleetId };
  const conductor = ulidOf(clock.now(), random);
  const hosts = createRolloutHosts({ roster, clock });
  const intents = new IntentQueue({ ...signed, roster, cache, clock, random, report });
  const records = new RolloutRecords({ ...signed, cache, hosts, clock, conductor, fleetRoots: () => trustedRoots(keysNow()) });
  const resumes = options.resumesRollouts;
  return {
    intents,
    staged: new RolloutDesk({
      ...signed,
      approve: (act) => options.mfa.approvalOf(act),
      roster,
      hosts,
      records,
      intents,
      clock,
      random,
      conductor,
      resumes,
      report,
    }),
  };
};
