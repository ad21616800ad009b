/** Where a change of the root stands, and what it waits for. */
import { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../../proto/model/certificate-path.ts';
import { keyIdOf } from '../../../proto/model/envelope.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import { isChainUnder } from '../../../proto/model/root-change.ts';
import type { RootStep } from '../../../proto/model/root-change.ts';
import type { RootChangeHold, RootChangeView } from '../../bridge/root-change-model.ts';
import { rootFingerprint } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { conductedSets, isRootChanging, phaseAfter, rootStepOf } from '../authority/root-change-record.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';
import { rootOf } from './agent-renewal.ts';

export interface RootChangeSource {
  readonly keys: FleetKeys;
  readonly hosts: readonly { readonly record: HostRecord; readonly isLive: boolean }[];
  /** Changes that were signed here and still wait for hosts. */
  readonly orders: readonly SignedOrder[];
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** An intent or the plan of a rollout: hosts take it as long as they trust the certificate it was signed with. */
export interface SignedOrder extends Pick<RootChangeHold, 'name' | 'hostId'> {
  readonly kind: 'intent' | 'rollout';
  readonly envelope: Envelope;
}

/** The whole state of a change, for people and for the decision whether it may go on. */
export const rootChangeViewOf = (source: RootChangeSource): RootChangeView => {
  const { keys, hosts } = source;
  const step = rootStepOf(keys);
  if (step === null) return nothing(keys);
  const [from, to] = [step.from, step.to].map(hashOf);
  const isUnderWay = isRootChanging(keys);
  // Other consoles do not know what was issued where.
  const isConductedHere = isUnderWay && conductedSets(keys) !== null;
  return {
    phase: step.phase,
    isUnderWay,
    isConductedHere,
    startedAt: keys.rootChange?.startedAt ?? null,
    phaseAt: step.issuedAtMs,
    from: from ?? '',
    to: to ?? null,
    next: phaseAfter(step.phase, 'forward'),
    back: phaseAfter(step.phase, 'back'),
    holds: isConductedHere ? holdsOf(source, step, 'to') : [],
    backHolds: isConductedHere ? holdsOf(source, step, 'from') : [],
    behind: (isConductedHere ? hosts : [])
      .filter(({ record }) => record.rootStep !== step.sequence)
      .map(({ record: { hostId, name }, isLive }) => ({ hostId, name, isAway: !isLive })),
  };
};

const nothing = (keys: FleetKeys): RootChangeView => ({
  phase: 'none',
  isUnderWay: false,
  isConductedHere: false,
  startedAt: null,
  phaseAt: null,
  from: rootFingerprint(keys),
  to: null,
  next: null,
  back: null,
  holds: [],
  backHolds: [],
  behind: [],
});

/** What is not under the wanted root yet. */
const holdsOf = (source: RootChangeSource, step: RootStep, wanted: 'from' | 'to'): readonly RootChangeHold[] => {
  const root = hashOf(step[wanted]);
  const hosts = source.hosts
    .filter(({ record }) => rootOf(record, source.keys) !== root)
    .map(({ record: { hostId, name }, isLive }): RootChangeHold => ({
      kind: 'host',
      name,
      hostId,
      isAway: !isLive,
      reason: hostReason(isLive, step, wanted),
    }));
  return [...hosts, ...ownHold(source, step, wanted), ...deviceHolds(source, root, step), ...orderHolds(source, step, wanted)];
};

const hostReason = (isLive: boolean, { phase }: RootStep, wanted: 'from' | 'to'): string => {
  if (!isLive) return 'It is away. Its certificate is exchanged when it is back; connect it, or remove it from the fleet.';
  if (wanted === 'from') return 'It gets a certificate of the old root again on the way back.';
  return phase === 're-issue'
    ? 'It gets its new certificate in a few seconds, unless a problem is shown in the list of certificates.'
    : 'Its certificate is exchanged in the phase "re-issue".';
};

const ownHold = ({ keys }: RootChangeSource, step: RootStep, wanted: 'from' | 'to'): readonly RootChangeHold[] => {
  if (isChainUnder(certificatesIn(keys.operator.certificate), step[wanted])) return [];
  const reason =
    wanted === 'from'
      ? 'It goes back by itself with the phase "dual-trust".'
      : 'It follows by itself in the phase "re-issue", as soon as every host has taken the step.';
  return [{ kind: 'device', name: `${keys.operatorName} (this device)`, hostId: null, isAway: false, reason }];
};

/** Other devices, each by its newest certificate. */
const deviceHolds = ({ keys, now }: RootChangeSource, root: string, step: RootStep): readonly RootChangeHold[] => {
  const own = keyIdOf(new X509Certificate(keys.operator.certificate).publicKey).toString('hex');
  const newest = new Map((keys.devices ?? []).map((device) => [device.fingerprint, device]));
  const revoked = new Set(keys.revocation?.revoked.map(({ serial }) => serial));
  const reason = 'Admit this device again ("nest fleet request-access", "admit", "join"), or revoke it.';
  return [...newest.values()]
    .filter(({ fingerprint, endsAt, serial }) => fingerprint !== own && endsAt > now && !revoked.has(serial))
    .filter(({ rootSha256 }) => (rootSha256 ?? hashOf(step.from)) !== root)
    .map(({ name }): RootChangeHold => ({ kind: 'device', name, hostId: null, isAway: true, reason }));
};

const orderReasons: Readonly<Record<SignedOrder['kind'], string>> = {
  intent: 'It was signed under the root that would go, and is refused afterwards. Let it be delivered, or "nest intents cancel" it.',
  rollout: 'Its plan was signed under the root that would go, and is refused afterwards. Let it end, or "nest rollout abort" it.',
};

const orderHolds = ({ orders }: RootChangeSource, step: RootStep, wanted: 'from' | 'to'): readonly RootChangeHold[] =>
  orders
    .filter(({ envelope }) => !envelope.signatures.some((signature) => isChainUnder(chainOf(signature), step[wanted])))
    .map(({ kind, name, hostId }): RootChangeHold => ({ kind, name, hostId, isAway: false, reason: orderReasons[kind] }));

const chainOf = ({ certificateChain }: Envelope['signatures'][number]): readonly X509Certificate[] =>
  certificateChain.map((certificate) => new X509Certificate(certificate));

const hashOf = ({ publicKey }: X509Certificate): string => keyIdOf(publicKey).toString('hex');
