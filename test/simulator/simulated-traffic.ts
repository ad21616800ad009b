/** The traffic domain of an agent without a data path: plans by parsing, activates in memory, makes flows up from a seed. */
import { createHash } from 'node:crypto';
import type { Plan, PlanRequest, Traffic, TrafficCounters, TrafficStatus } from '../../agent/domains/traffic/api.ts';
import type { Clock } from '../../agent/lib/clock.ts';
import { NestError } from '../../proto/model/error.ts';
import { planLifeMs } from '../../proto/model/limits.ts';
import { createFlowSource } from './simulated-flows.ts';
import type { FlowPace } from './simulated-flows.ts';
import { createWalk } from './walk.ts';

/** Plans kept until they are applied; the oldest go. */
const plansMax = 4;
const flowsMax = 1 << 17;
const engine = { engine: 'simulated', available: true, reason: 'There is no data path here: this agent is simulated.' };
const ports = ['lan0', 'wan0', 'mgmt0'] as const;
/** They never change, so every status has the same ones. */
const interfaces: TrafficStatus['interfaces'] = ports.map((name) => ({
  name,
  mode: 'native',
  problem: '',
  choice: 'auto',
  engine: 'simulated',
  reason: 'Chosen by itself.',
  engines: [engine],
  facts: { receiveQueues: 4, sendQueues: 4, numaNode: null, speedMbps: 10_000, xdpFeatures: null, virtualFunctions: null },
}));
const walks = { flows: 0, judged: 1, ports: 2 } as const;

export interface SimulatedTrafficOptions {
  readonly clock: Clock;
  readonly index: number;
  readonly flows: FlowPace;
}

/** Traffic that keeps its policy in memory. */
export const createSimulatedTraffic = (options: SimulatedTrafficOptions): Traffic => {
  const { clock, index } = options;
  const walk = createWalk(index + 1_000_003);
  const startedMs = clock.monotonicMs();
  const plans = new Map<string, Plan & { readonly policyJson: string }>();
  const source = createFlowSource(options);
  let generation = '';
  const status = (): TrafficStatus => ({
    mode: 'enforce',
    observeReason: '',
    generation,
    desiredGeneration: generation,
    withheld: [],
    adopted: false,
    flows: Math.round(walk.between(walks.flows, 100, 4000)),
    flowsMax,
    engines: [engine],
    interfaces,
  });
  return {
    start: async () => undefined,
    status,
    checkApprovals: () => undefined,
    approve: ({ policyJson }) => policyJson,
    inspect: async () => [],
    heal: async () => undefined,
    plan: async (request) => {
      const plan = planOf(request, clock.nowMs() + planLifeMs);
      plans.set(plan.planHash, { ...plan, policyJson: request.policyJson });
      const [oldest] = plans.keys();
      if (plans.size > plansMax && oldest !== undefined) plans.delete(oldest);
      return plan;
    },
    takePlan: async (planHash, policyJson) => {
      const plan = plans.get(planHash);
      if (plan === undefined || plan.expiresAtMs < clock.nowMs())
        throw new NestError('PLAN_EXPIRED', 'The plan is not known or too old. Plan again.');
      if (plan.policyJson !== policyJson) throw new NestError('PLAN_MISMATCH', 'The document is not the one that was planned. Plan again.');
      return plan;
    },
    activate: async (policyJson) => {
      generation = sha256(policyJson);
      return { generation, loadMs: 0, flipMs: 0 };
    },
    setRevision: () => undefined,
    counters: () => countersOf(walk, clock.monotonicMs() - startedMs),
    ...source,
    balancers: () => [],
    denyLists: () => [],
    updateDenyList: async () => {
      throw new NestError('OBSERVE_ONLY', 'This agent is simulated and keeps no deny lists. Use an agent with a data path.');
    },
    setInterfaceEngine: async () => {
      throw new NestError('ENGINE_UNAVAILABLE', 'This agent is simulated and has no engines. Use an agent with a data path.');
    },
    trace: async () => {
      throw new NestError('OBSERVE_ONLY', 'This agent is simulated and judges no packets. Use an agent with a data path.');
    },
    close: async () => undefined,
  };
};

const planOf = ({ policyJson, base }: PlanRequest, expiresAtMs: number): Plan => {
  const document = parse(policyJson);
  const generation = sha256(policyJson);
  return {
    planHash: sha256(`${base.etag} ${generation}`),
    baseRevision: base.revision,
    baseEtag: base.etag,
    generation,
    diff: [{ kind: 'added', text: `${policyJson.length} characters of policy` }],
    problems: [],
    impact: null,
    expiresAtMs,
    managementReachable: true,
    tables: null,
    canApply: true,
    cannotApplyReason: '',
    mappingCount: lengthOf(document['mappings']),
    serviceCount: lengthOf(document['services']),
  };
};

const parse = (policyJson: string): Readonly<Record<string, unknown>> => {
  try {
    const document: unknown = JSON.parse(policyJson);
    if (typeof document === 'object' && document !== null) return { ...document };
  } catch (error) {
    throw new NestError('POLICY_INVALID', 'The policy is not JSON. Correct it.', { cause: error });
  }
  throw new NestError('POLICY_INVALID', 'The policy is not an object. Correct it.');
};

const lengthOf = (value: unknown): number => (Array.isArray(value) ? value.length : 0);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const countersOf = (walk: ReturnType<typeof createWalk>, elapsedMs: number): TrafficCounters => {
  const count = (number: number, perSecond: number): { readonly packets: bigint; readonly bytes: bigint } => {
    const packets = walk.total(number, elapsedMs, perSecond);
    return { packets: BigInt(packets), bytes: BigInt(packets * 620) };
  };
  const byPort = ports.map((_name, port) => ({
    allowed: count(walks.ports + 2 * port, 150),
    denied: count(walks.ports + 2 * port + 1, 5),
  }));
  const sum = (of: 'allowed' | 'denied'): { readonly packets: bigint; readonly bytes: bigint } => {
    const all = { packets: 0n, bytes: 0n };
    for (const port of byPort) {
      all.packets += port[of].packets;
      all.bytes += port[of].bytes;
    }
    return all;
  };
  return {
    mappings: [],
    path: {
      judged: BigInt(walk.total(walks.judged, elapsedMs, 500)),
      forwarded: 0n,
      routedByKernel: 0n,
      tooBigAnswered: 0n,
      isFlood: false,
      floodSinceMs: null,
    },
    // Asked for rarely, and not by statuses.
    get reasons() {
      return reasonsOf({ allowed: sum('allowed'), denied: sum('denied') });
    },
    interfaces: byPort.map((counts, port) => ({ name: ports[port] ?? '', index: port + 2, reasons: reasonsOf(counts) })),
    recordsLost: 0n,
    recordsSuppressed: 0n,
    flowsNotInserted: 0n,
  };
};

type Counts = TrafficCounters['reasons'][number]['count'];

const reasonsOf = ({ allowed, denied }: { readonly allowed: Counts; readonly denied: Counts }): TrafficCounters['reasons'] => [
  { reason: 'POLICY_ALLOW', dropped: false, count: allowed },
  { reason: 'POLICY_DENY', dropped: true, count: denied },
];
