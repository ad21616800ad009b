/** The traffic domain of an agent without a data path: policy by the agent's own rules, loaded into nothing, and flows made up from a seed. */
import type { Traffic, TrafficCounters, TrafficStatus } from '../../agent/domains/traffic/api.ts';
import { approveIn, checkApprovals } from '../../agent/domains/traffic/approval.ts';
import { NestError } from '../../proto/model/error.ts';
import { createFlowSource } from './simulated-flows.ts';
import type { FlowPace } from './simulated-flows.ts';
import { SimulatedPolicy } from './simulated-policy.ts';
import type { SimulatedPolicyOptions } from './simulated-policy.ts';
import { createWalk } from './walk.ts';

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

export interface SimulatedTrafficOptions extends SimulatedPolicyOptions {
  readonly index: number;
  readonly flows: FlowPace;
}

/** Traffic of a host that does not exist. Raises STATE_FAILED. */
export const createSimulatedTraffic = (options: SimulatedTrafficOptions): Traffic => {
  const { clock, index } = options;
  const walk = createWalk(index + 1_000_003);
  const startedMs = clock.monotonicMs();
  const source = createFlowSource(options);
  const policy = new SimulatedPolicy(options);
  const status = (): TrafficStatus => ({
    mode: 'enforce',
    observeReason: '',
    generation: policy.generation,
    desiredGeneration: policy.generation,
    withheld: policy.withheld,
    adopted: false,
    flows: Math.round(walk.between(walks.flows, 100, 4000)),
    flowsMax,
    engines: [engine],
    interfaces,
  });
  return {
    start: async () => undefined,
    status,
    checkApprovals,
    approve: (request) => approveIn(request, clock.nowMs()),
    inspect: async () => [],
    heal: async () => undefined,
    plan: (request, signal) => policy.plan(request, signal),
    takePlan: (planHash, policyJson) => policy.takePlan(planHash, policyJson),
    activate: (policyJson, signal) => policy.activate(policyJson, signal),
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
    close: () => policy.close(),
  };
};

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
