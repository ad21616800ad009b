/** The life between unlocking and locking: keys in memory, hosts connected, enrolments and rollouts at work. */
import { createOperatorIdentity } from '../../grpc/api.ts';
import type { OperatorIdentity } from '../../grpc/api.ts';
import { AccessBook } from '../access/access-book.ts';
import { AccessSync } from '../access/access-sync.ts';
import { operatorSlug } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { createEnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { EnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import { RolloutBook } from '../policy/rollout-book.ts';
import type { RolloutBookOptions } from '../policy/rollout-book.ts';

/** How long an agent may take to come back with its new certificate. */
const enrolledAnswerMs = 8_000;

export interface FleetSession {
  readonly keys: FleetKeys;
  readonly operator: OperatorIdentity;
  readonly desk: EnrollmentDesk;
  readonly rollouts: RolloutBook;
  readonly access: FleetAccess;
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
}

/** Connects everything; the caller closes it. */
export const openFleetSession = (keys: FleetKeys, options: FleetSessionOptions): FleetSession => {
  const { roster, clock, random, report } = options;
  const operator = createOperatorIdentity({
    fleetRoot: keys.root.certificate,
    certificate: keys.operator.certificate,
    privateKey: keys.operator.privateKey,
  });
  const rollouts = new RolloutBook(options);
  const access = openAccess(keys, options);
  roster.connect({ fleetId: keys.fleetId, operator });
  const desk = createEnrollmentDesk({
    keys,
    operator,
    clock,
    random,
    report,
    hosts: () => roster.all.map(({ record }) => record),
    onEnrolled: (record) => {
      roster.add(record);
    },
    answersAs: (record, signal) => roster.answersAs(record, enrolledAnswerMs, signal),
  });
  return {
    keys,
    operator,
    desk,
    rollouts,
    access,
    close: async () => {
      await access.sync.close();
      access.book.close();
      await desk.close();
      await rollouts.close();
      await roster.disconnect();
    },
  };
};

const openAccess = (keys: FleetKeys, options: FleetSessionOptions): FleetAccess => {
  const { roster, cache, clock, random, report } = options;
  const { certificate, privateKey } = keys.root;
  const book = new AccessBook({
    cache,
    clock,
    random,
    fleetId: keys.fleetId,
    root: { certificate, privateKey: privateKey === '' ? null : privateKey },
    subject: `operator/${operatorSlug(keys.operatorName)}`,
    ownerKey: keys.owner ?? null,
  });
  const sync = new AccessSync({ book, roster, clock, report });
  sync.start();
  return {
    book,
    sync,
    begin: (isOwnerNew) => {
      const canBegin = keys.owner !== undefined && privateKey !== '' && book.chain.head === null;
      if (canBegin && (isOwnerNew || roster.all.length === 0)) book.change({ kind: 'begin' });
    },
  };
};
