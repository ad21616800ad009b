/** The life between unlocking and locking: keys in memory, hosts connected, enrolments and rollouts at work. */
import { createOperatorIdentity } from '../../grpc/api.ts';
import type { OperatorIdentity } from '../../grpc/api.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { createEnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { EnrollmentDesk } from '../hosts/enrollment-desk.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import { operatorSigner, operatorSubject } from '../authority/operator-signer.ts';
import { IntentQueue } from '../intent/intent-queue.ts';
import { RolloutBook } from '../policy/rollout-book.ts';
import type { RolloutBookOptions } from '../policy/rollout-book.ts';

import { ulidOf } from '../../lib/api.ts';
import { RolloutDesk } from '../rollout/rollout-desk.ts';
import { createRolloutHosts } from '../rollout/rollout-hosts.ts';
import { RolloutRecords } from '../rollout/rollout-records.ts';

/** How long an agent may take to come back with its new certificate. */
const enrolledAnswerMs = 8_000;

export interface FleetSession {
  readonly keys: FleetKeys;
  readonly operator: OperatorIdentity;
  readonly desk: EnrollmentDesk;
  readonly rollouts: RolloutBook;
  readonly staged: RolloutDesk;
  readonly intents: IntentQueue;
  close(): Promise<void>;
}

export interface FleetSessionOptions extends RolloutBookOptions {
  readonly roster: HostRoster;
  /** Goes on by itself with the staged rollouts it conducted before. */
  readonly resumesRollouts: boolean;
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
  const { intents, staged } = openStaged(keys, options);
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
    staged,
    intents,
    close: async () => {
      await desk.close();
      await staged.close();
      await intents.close();
      await rollouts.close();
      await roster.disconnect();
    },
  };
};

/** Staged rollouts and the intents they leave for hosts that are away, signed by this operator's device. */
const openStaged = (keys: FleetKeys, options: FleetSessionOptions): Pick<FleetSession, 'staged' | 'intents'> => {
  const { roster, cache, clock, random, report } = options;
  const signed = { signer: operatorSigner(keys), operator: operatorSubject(keys), fleetId: keys.fleetId };
  const conductor = ulidOf(clock.now(), random);
  const hosts = createRolloutHosts({ roster, clock });
  const intents = new IntentQueue({ ...signed, roster, cache, clock, random, report });
  const records = new RolloutRecords({ ...signed, cache, hosts, clock, conductor, fleetRoot: keys.root.certificate });
  const resumes = options.resumesRollouts;
  return { intents, staged: new RolloutDesk({ ...signed, roster, hosts, records, intents, clock, random, conductor, resumes, report }) };
};
