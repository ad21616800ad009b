/**
 * An in-memory BridgeClient for tests: all hosts, flows and counters are invented. It behaves like the core where views depend
 * on it (phases, enrolment steps, plan, rollout), and `answers` replaces any call, also by a failure.
 */
import type { BridgeClient, CallName, InputOf, OutputOf, StreamName } from '../../bridge/contract.ts';
import type {
  AccessView,
  ConsoleState,
  Draft,
  EngineChoice,
  EngineName,
  Enrollment,
  FleetPlan,
  HostEditors,
  HostRow,
  LicenseView,
  MfaState,
  PolicyRevision,
  Rollout,
  Settings,
  SsoView,
} from '../../bridge/model.ts';
import { certificateAnswers } from './test-certificates.ts';
import { licenseAnswers, testSso } from './test-license.ts';
import type { HostGroup } from '../../bridge/group-model.ts';
import { groupAnswers } from './test-groups.ts';
import { changeAnswers } from './test-changes.ts';
import type { IntentRow, StagedRollout } from '../../bridge/rollout-model.ts';
import {
  testCounters,
  testDetail,
  testFlows,
  testHosts,
  testPlan,
  testPolicy,
  testRevisions,
  testSample,
  testTrace,
} from './test-fleet.ts';
import { measuredAt, testBalancers, testDenyLists, testSums } from './test-traffic.ts';
import type { DenyListRow } from './test-traffic.ts';

type Answers = { [Name in CallName]?: (input: InputOf<Name>) => OutputOf<Name> | Promise<OutputOf<Name>> };

export interface TestBridgeOptions {
  readonly state?: Partial<ConsoleState>;
  readonly hosts?: readonly HostRow[];
  readonly draft?: Draft | null;
  readonly settings?: Settings;
  /** Milliseconds since the epoch; tests give a fixed clock. */
  readonly now?: () => number;
  readonly answers?: Answers;
}

export class TestBridge implements BridgeClient {
  readonly calls: { readonly method: CallName; readonly input: unknown }[] = [];
  readonly answers: Answers;
  state: ConsoleState;
  hosts: readonly HostRow[];
  draft: Draft | null;
  settings: Settings;
  /** Serial numbers. */
  readonly revoked = new Set<string>();
  enrollment: Enrollment | null = null;
  rollout: Rollout | null = null;
  staged: readonly StagedRollout[] = [];
  intents: readonly IntentRow[] = [];
  editors: readonly HostEditors[] = [];
  plan: FleetPlan | null = null;
  groups: readonly HostGroup[] = [];
  access: AccessView | null = null;
  sso: SsoView = testSso;
  license: LicenseView | null = null;
  mfa: MfaState = { subject: 'operator/olga', isRequired: false, factor: null, freshUntil: null, recoveryCodesLeft: null, factors: [] };
  denyLists: readonly DenyListRow[];
  readonly now: () => number;
  readonly #wakers = new Set<() => void>();

  constructor({
    state = {},
    hosts,
    draft = null,
    settings = { scheme: 'dark', density: 'comfortable' },
    now = () => 1_700_000_000_000,
    answers = {},
  }: TestBridgeOptions = {}) {
    this.now = now;
    this.hosts = hosts ?? testHosts(now());
    this.denyLists = testDenyLists(now());
    this.draft = draft;
    this.settings = settings;
    this.answers = answers;
    this.state = {
      phase: 'open',
      fleetName: 'Amsterdam fleet',
      fleetId: '01J00000000000000000000000',
      operatorName: 'Olga Petrov',
      storage: 'passphrase',
      keychain: { available: false, reason: 'no secret service answers on this session bus' },
      version: '0.0.0',
      hostCount: this.hosts.length,
      operatorCertificateEndsAt: now() + 300 * 86_400_000,
      ...state,
    };
  }

  /** Makes every stream emit again. */
  emit(): void {
    for (const wake of this.#wakers) wake();
  }

  async call<Name extends CallName>(
    method: Name,
    input: InputOf<Name>,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<OutputOf<Name>> {
    this.calls.push({ method, input });
    await Promise.resolve();
    signal?.throwIfAborted();
    const answer = this.answers[method] ?? (this.#usual()[method] as ((input: InputOf<Name>) => OutputOf<Name>) | undefined);
    if (answer === undefined) throw Object.assign(new Error(`The test bridge does not answer ${method}.`), { code: 'INTERNAL' });
    const output = await answer(input);
    this.emit();
    return output;
  }

  async *subscribe<Name extends StreamName>(
    method: Name,
    input: InputOf<Name>,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<OutputOf<Name>> {
    const isAborted = (): boolean => signal?.aborted === true;
    let isWoken = true;
    const wake = (): void => {
      isWoken = true;
      resume?.();
    };
    let resume: (() => void) | undefined;
    this.#wakers.add(wake);
    signal?.addEventListener('abort', wake);
    try {
      while (!isAborted()) {
        if (!isWoken) await new Promise<void>((resolve) => (resume = resolve));
        isWoken = false;
        const value = this.#streamed(method, input);
        if (value !== null) yield value as OutputOf<Name>;
      }
    } finally {
      this.#wakers.delete(wake);
    }
  }

  #streamed(method: StreamName, input: unknown): object | null {
    switch (method) {
      case 'console.watch':
        return this.state;
      case 'hosts.watch':
        return { at: this.now(), hosts: this.hosts };
      case 'enrollment.watch':
        return this.enrollment;
      case 'access.watch':
        return this.access;
      case 'sso.watch':
        return this.sso;
      case 'host.watch':
        return testSample(this.#host((input as { hostId: string }).hostId), this.now());
      case 'lease.hold':
        return this.editors;
      case 'rollouts.watch':
        return this.staged.find(({ rolloutId }) => rolloutId === (input as { rolloutId: string }).rolloutId) ?? null;
      default:
        return this.rollout;
    }
  }

  #host(hostId: string): HostRow {
    const host = this.hosts.find((row) => row.hostId === hostId);
    if (host === undefined) throw Object.assign(new Error('There is no such host: choose another.'), { code: 'NOT_FOUND' });
    return host;
  }

  #revision(hostId: string, revision: number | undefined): PolicyRevision {
    const found = testRevisions(this.#host(hostId), this.now()).find((entry) => revision === undefined || entry.revision === revision);
    if (found === undefined) throw Object.assign(new Error('The host keeps no such revision.'), { code: 'NOT_FOUND' });
    return found;
  }

  #denyTable(host: HostRow): OutputOf<'host.denyLists'> {
    return { at: measuredAt(host, this.now()), live: host.state !== 'offline', lists: this.#listsWithHits() };
  }

  /** Hits grow with the clock. */
  #listsWithHits(): readonly DenyListRow[] {
    const grown = new Map(testDenyLists(this.now()).map((list) => [list.name, list]));
    return this.denyLists.map((list) => ({
      ...list,
      hitPackets: grown.get(list.name)?.hitPackets ?? list.hitPackets,
      hitBytes: grown.get(list.name)?.hitBytes ?? list.hitBytes,
    }));
  }

  #updateDenyList({
    name,
    add,
    remove,
    expiresAt,
    delete: whole = false,
  }: InputOf<'host.denyList.update'>): OutputOf<'host.denyList.update'> {
    const before = this.denyLists.find((list) => list.name === name);
    const others = this.denyLists.filter((list) => list.name !== name);
    const kept = (before?.firstPrefixes ?? []).filter((prefix) => !remove.includes(prefix));
    const prefixes = (before?.prefixes ?? 0) + add.length - remove.length;
    const changed: DenyListRow = {
      name,
      origin: 'host',
      file: null,
      prefixes,
      firstPrefixes: [...kept, ...add].slice(0, 100),
      expiresAt: expiresAt ?? before?.expiresAt ?? null,
      expired: false,
      hitPackets: before?.hitPackets ?? 0,
      hitBytes: before?.hitBytes ?? 0,
      problem: null,
    };
    this.denyLists = whole ? others : [...others, changed];
    return { added: add.length, removed: whole ? (before?.prefixes ?? 0) : remove.length, prefixes: whole ? 0 : prefixes };
  }

  #stagedAnswers(): Answers {
    return {
      'rollout.current': () => this.rollout,
      'rollouts.list': () => this.staged,
      'rollouts.start': () => this.#stage(this.staged[0]?.rolloutId ?? '', { phase: 'running', conducted: 'here' }),
      'rollouts.pause': ({ rolloutId }) => this.#stage(rolloutId, { phase: 'paused' }),
      'rollouts.resume': ({ rolloutId }) => this.#stage(rolloutId, { phase: 'running', conducted: 'here' }),
      'rollouts.abort': ({ rolloutId }) => this.#stage(rolloutId, { phase: 'aborted' }),
      'rollouts.takeOver': ({ rolloutId }) => this.#stage(rolloutId, { conducted: 'here' }),
      'intents.list': () => this.intents,
      'intents.cancel': ({ intentId }) => {
        this.intents = this.intents.map((intent) => (intent.intentId === intentId ? { ...intent, state: 'cancelled' } : intent));
        return this.intents[0] as IntentRow;
      },
    };
  }

  #stage(rolloutId: string, change: Partial<StagedRollout>): StagedRollout {
    this.staged = this.staged.map((one) => (one.rolloutId === rolloutId ? { ...one, ...change } : one));
    const found = this.staged.find((one) => one.rolloutId === rolloutId);
    if (found === undefined) throw Object.assign(new Error('There is no rollout.'), { code: 'NOT_FOUND' });
    return found;
  }

  /** What the core would do, as far as a view can see it. */
  #usual(): Answers {
    return { ...this.#ofHosts(), ...certificateAnswers(this), ...licenseAnswers(this), ...groupAnswers(this), ...changeAnswers(this) };
  }

  #ofHosts(): Answers {
    const enroll = (part: Partial<Enrollment>): Enrollment =>
      (this.enrollment = { ...(this.enrollment ?? blankEnrollment(this.now())), ...part });
    const roll = (state: Rollout['state'], host: Rollout['hosts'][number]['state']): Rollout => {
      if (this.rollout === null) throw Object.assign(new Error('There is no rollout.'), { code: 'NOT_FOUND' });
      this.rollout = {
        ...this.rollout,
        state,
        rollbackAt: null,
        hosts: this.rollout.hosts.map((entry) => ({ ...entry, state: host, rollbackAt: null })),
      };
      return this.rollout;
    };
    return {
      'console.state': () => this.state,
      'mfa.get': () => this.mfa,
      'settings.get': () => this.settings,
      'settings.put': (input) =>
        (this.settings = { scheme: input.scheme ?? this.settings.scheme, density: input.density ?? this.settings.density }),
      'fleet.create': ({ fleetName, operatorName, storage }) =>
        (this.state = { ...this.state, phase: 'open', fleetName, operatorName, storage }),
      'fleet.unlock': () => (this.state = { ...this.state, phase: 'open' }),
      'fleet.lock': () => (this.state = { ...this.state, phase: 'locked' }),
      'hosts.list': () => this.hosts,
      'enrollment.list': () => (this.enrollment === null ? [] : [this.enrollment]),
      'enrollment.begin': ({ name, address, port = 50_051, labels = [] }) =>
        enroll({ ...blankEnrollment(this.now()), name, address, port, labels }),
      'enrollment.approve': () => enroll({ state: 'enrolled', token: null, joinCommand: null, hostId: this.hosts[0]?.hostId ?? null }),
      'enrollment.cancel': () => enroll({ state: 'cancelled', token: null, joinCommand: null }),
      'host.get': ({ hostId }) => testDetail(this.#host(hostId), this.now()),
      'host.counters': ({ hostId }) => testCounters(this.#host(hostId), this.now()),
      'host.flows': ({ hostId, verdict }) => testFlows(this.#host(hostId), this.now(), verdict),
      'host.flowSums': ({ hostId, verdict, by }) => testSums(testFlows(this.#host(hostId), this.now(), verdict).flows, by, this.now()),
      'host.balancers': ({ hostId }) => testBalancers(this.#host(hostId), this.now()),
      'host.denyLists': ({ hostId }) => this.#denyTable(this.#host(hostId)),
      'host.denyList.update': (input) => this.#updateDenyList(input),
      'host.interface.engine': ({ engine }) => engineChosen(engine),
      'policy.get': ({ hostId, revision }) => ({ ...this.#revision(hostId, revision), policy: testPolicy }),
      'policy.revisions': ({ hostId }) => testRevisions(this.#host(hostId), this.now()),
      'policy.validate': ({ policy }) => validated(policy),
      'policy.import': () => ({
        format: 'MarchProxy',
        policy: testPolicy,
        notes: [
          {
            subject: 'api-v1',
            code: 'PATH_PREFIX',
            message: 'path_prefix "/v1" cannot be expressed yet: the mapping matches by port alone.',
          },
        ],
      }),
      'draft.get': () => this.draft,
      'draft.put': ({ policy, hostIds, bases = {} }) => (this.draft = { policy, hostIds, bases, savedAt: this.now() }),
      'draft.drop': () => (this.draft = null),
      'policy.plan': ({ hostIds }) =>
        (this.plan = testPlan(
          hostIds.map((hostId) => this.#host(hostId)),
          this.now(),
        )),
      'policy.apply': ({ planId, confirmWithinSeconds }) =>
        (this.rollout = startedRollout({ planId, confirmWithinSeconds, plan: this.plan, now: this.now() })),
      'policy.confirm': () => roll('confirmed', 'confirmed'),
      'policy.undo': () => roll('rolled-back', 'rolled-back'),
      ...this.#stagedAnswers(),
      'policy.rollback': ({ hostId }) => this.#revision(hostId, undefined),
      'trace.run': ({ draft }) => testTrace(draft !== undefined),
    };
  }
}

const blankEnrollment = (now: number): Enrollment => ({
  enrollmentId: 'enrollment-1',
  name: 'edge-ams-011',
  address: '198.18.0.11',
  port: 50_051,
  labels: [],
  state: 'waiting',
  token: 'nest1-8G4KQ-7ZT2M-VYX0D-51RWA-HN3CJ',
  joinCommand: 'nest-agent join nest1-8G4KQ-7ZT2M-VYX0D-51RWA-HN3CJ',
  expiresAt: now + 600_000,
  fingerprint: null,
  facts: null,
  hostId: null,
  problem: null,
  attempts: 2,
});

const validated = (policy: string): OutputOf<'policy.validate'> => {
  try {
    JSON.parse(policy);
  } catch {
    return {
      valid: false,
      problems: [
        { code: 'JSON_INVALID', severity: 'error', path: '', message: 'The text is not JSON: look for a missing comma or quote.' },
      ],
      tables: null,
    };
  }
  const isBad = policy.includes('"70000"');
  return {
    valid: !isBad,
    problems: isBad
      ? [{ code: 'PORT_INVALID', severity: 'error', path: 'mappings[0].ports[0]', message: '70000 is no port: write 1 to 65535.' }]
      : [],
    tables: isBad ? null : { identities: 14, pairs: 31, portIntervals: 40, mappings: 5, imageBytes: 18_432, compileMs: 1.8 },
  };
};

interface RolloutSeed {
  readonly planId: string;
  readonly confirmWithinSeconds: number;
  readonly plan: FleetPlan | null;
  readonly now: number;
}

const startedRollout = ({ planId, confirmWithinSeconds, plan, now }: RolloutSeed): Rollout => ({
  rolloutId: 'rollout-1',
  planId,
  startedAt: now,
  confirmWithinSeconds,
  state: 'pending',
  rollbackAt: now + confirmWithinSeconds * 1_000,
  hosts: (plan?.hosts ?? []).map((host) => ({
    hostId: host.hostId,
    hostName: host.hostName,
    state: 'pending',
    revision: 119,
    previousRevision: 118,
    rollbackAt: now + confirmWithinSeconds * 1_000,
    loadMs: 2.4,
    problem: null,
  })),
});

const engineChosen = (engine: EngineName): EngineChoice =>
  engine === 'off'
    ? { engine: null, reason: 'off was chosen', warning: '' }
    : {
        engine: engine === 'auto' || engine === 'xdp' ? 'xdp-native' : engine,
        reason: `${engine} was chosen`,
        warning: engine === 'af_xdp' ? 'Engines do not share flows. Put these interfaces on the same engine.' : '',
      };
