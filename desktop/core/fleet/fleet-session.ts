/** The life between unlocking and locking: keys in memory, hosts connected, enrolments and rollouts at work. */
import { createOperatorIdentity } from '../../grpc/api.ts';
import type { OperatorIdentity, OperatorMaterial } from '../../grpc/api.ts';
import { AccessBook } from '../access/access-book.ts';
import { AccessSync } from '../access/access-sync.ts';
import { operatorSlug } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { contextLists } from '../authority/revocation-list.ts';
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

export interface FleetSessionOptions extends RolloutBookOptions {
  readonly roster: HostRoster;
  /** Renews what this console holds, when due. */
  readonly refreshOwn: (signal: AbortSignal) => Promise<void>;
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
  const { intents, staged } = openStaged(keys, { ...options, mfa });
  roster.connect({ fleetId: keys.fleetId, operator });
  const desk = createEnrollmentDesk({
    keys: () => keys,
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
  const certificates = createCertificateDesk({ roster, keys: () => keys, refreshOwn: options.refreshOwn, clock, random, report });
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
    root: {
      certificate: keys.root.certificate,
      get privateKey() {
        return keysNow().root.privateKey;
      },
    },
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

const openMfa = (
  { fleetId, fleetName }: FleetKeys,
  options: FleetSessionOptions & { readonly book: AccessBook; readonly operator: OperatorIdentity },
): Pick<FleetSession, 'mfa' | 'breakGlass'> => {
  const breakGlass = createBreakGlassDesk({ ...options, fleetId });
  return { breakGlass, mfa: new MfaDesk({ ...options, fleetName, isGranted: (hostId) => breakGlass.isGranted(hostId) }) };
};

const materialOf = (keys: FleetKeys, now: number): OperatorMaterial => ({
  fleetRoot: keys.root.certificate,
  certificate: keys.operator.certificate,
  privateKey: keys.operator.privateKey,
  revocationLists: contextLists(keys.revocation, now),
});
/** Staged rollouts and the intents they leave for hosts that are away, signed by this operator's device. */
const openStaged = (
  keys: FleetKeys,
  options: FleetSessionOptions & { readonly mfa: MfaDesk },
): Pick<FleetSession, 'staged' | 'intents'> => {
  const { roster, cache, clock, random, report } = options;
  const signed = { signer: operatorSigner(keys), operator: operatorSubject(keys), fleetId: keys.fleetId };
  const conductor = ulidOf(clock.now(), random);
  const hosts = createRolloutHosts({ roster, clock });
  const intents = new IntentQueue({ ...signed, roster, cache, clock, random, report });
  const records = new RolloutRecords({ ...signed, cache, hosts, clock, conductor, fleetRoot: keys.root.certificate });
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
