import { isDropped, reasonSentence } from '../../proto/model/reason.ts';
import { addressFromBytes, formatAddress } from '../image/api.ts';
import type { Judgement } from '../image/api.ts';
import { traceFlow, traceParse } from './packet-trace.ts';
import type { PacketTrace } from './packet-trace.ts';
import { packetWords } from './packet-words.ts';
import type { PacketWords } from './packet-words.ts';

export interface TracedPacket {
  readonly packet: Uint8Array;
  readonly trace: PacketTrace;
  /** Mapping that decided, as the kernel's tables name it; empty = default action or not judged. */
  readonly mapping: string;
  /** The same packet judged with the image of the kernel's tables; null when policy was not asked. */
  readonly judgement: Judgement | null;
  readonly defaultAction: 'allow' | 'deny';
  readonly names: TraceNames;
}

/** What indices in a trace stand for; null: the trace has none. */
export interface TraceNames {
  readonly denyList: string | null;
  readonly backend: string | null;
  /** Interface the packet leaves by without the kernel. */
  readonly egress: string | null;
}

/** One station of the way; `subject` names the entry that matched, empty = none. */
export interface TraceStep {
  readonly stage: string;
  readonly title: string;
  readonly detail: string;
  readonly subject: string;
}

const namesMax = 5;

/** The packet's way through the data path, in words. */
export const traceSteps = (traced: TracedPacket): readonly TraceStep[] => {
  const words = packetWords(traced.packet, traced.trace);
  const steps = [parseStep(traced, words)];
  const { flow, l4, denyList } = traced.trace;
  if (denyList !== null) steps.push(denyStep(traced));
  if (flow !== traceFlow.notAsked) steps.push(flowStep(flow));
  if (traced.judgement !== null && l4 !== 0) steps.push(identityStep(traced.judgement, words), policyStep(traced, traced.judgement));
  steps.push(...limitSteps(traced), ...rewriteSteps(traced, words), verdictStep(traced));
  return steps;
};

const parseStep = ({ packet, trace }: TracedPacket, words: PacketWords): TraceStep => {
  const notes = [
    (trace.parse & traceParse.firstFragment) === 0 ? '' : 'first fragment',
    (trace.parse & traceParse.laterFragment) === 0 ? '' : 'later fragment',
  ].filter((note) => note !== '');
  return {
    stage: 'parse',
    title: 'Parse',
    detail: `${[...words.layers, ...notes].join(', ')} · ${String(packet.length)} bytes`,
    subject: '',
  };
};

const flowDetails: Readonly<Record<number, string>> = {
  [traceFlow.miss]: 'miss: no entry for this flow, policy decides',
  [traceFlow.hit]: 'hit: belongs to an allowed flow, policy is not asked again',
  [traceFlow.stale]: 'known, but judged by an older policy: judged again',
  [traceFlow.idle]: 'known, but idle for too long: judged as new',
  [traceFlow.closed]: 'known, but ended: judged as new',
};

const flowStep = (flow: number): TraceStep => ({
  stage: 'flow',
  title: 'Flow table',
  detail: flowDetails[flow] ?? 'unknown answer',
  subject: '',
});

const identityStep = (judgement: Judgement, words: PacketWords): TraceStep => ({
  stage: 'identity',
  title: 'Identity',
  detail: `source ${serviceWords(judgement.sourceServices)} (${words.source}) · destination ${serviceWords(judgement.destinationServices)} (${words.destination})`,
  subject: judgement.sourceServices[0] ?? judgement.destinationServices[0] ?? '',
});

const serviceWords = (services: readonly string[]): string => {
  if (services.length === 0) return 'in no service of this policy';
  const more = services.length > namesMax ? ` and ${String(services.length - namesMax)} more` : '';
  return `${services.slice(0, namesMax).join(', ')}${more}`;
};

const policyStep = ({ mapping, defaultAction }: TracedPacket, judgement: Judgement): TraceStep => {
  if (mapping === '') return { stage: 'policy', title: 'Policy', detail: `no mapping matches: default ${defaultAction}`, subject: '' };
  const beaten = [
    ...judgement.losers.map((loser) => `${loser.mapping} (priority ${String(loser.priority)}, ${loser.action})`),
    `default ${defaultAction}`,
  ];
  return {
    stage: 'policy',
    title: 'Policy',
    detail: `mapping ${mapping}, priority ${String(judgement.priority ?? 0)}, ${judgement.action} · beat ${beaten.join(', ')}`,
    subject: mapping,
  };
};

const denyStep = ({ names }: TracedPacket): TraceStep => ({
  stage: 'deny',
  title: 'Deny list',
  detail: `source or destination is on ${names.denyList ?? 'a list'}: dropped before any mapping is asked`,
  subject: names.denyList ?? '',
});

const limitSteps = ({ trace, mapping }: TracedPacket): readonly TraceStep[] => {
  if (trace.limit === 'none') return [];
  const detail = trace.limit === 'within' ? 'within the limit of the mapping' : 'over the limit of the mapping: dropped';
  return [{ stage: 'limit', title: 'Rate limit', detail, subject: mapping }];
};

/** A backend was chosen, but nothing leaves for it. */
const notSent: Readonly<Record<string, string>> = {
  NO_ROUTE: 'a backend was chosen, but its next hop is not known',
  NAT_EXHAUSTED: 'a backend was chosen, but no source address or port is free',
};

const rewriteSteps = ({ trace, names, mapping }: TracedPacket, words: PacketWords): readonly TraceStep[] => {
  const { rewrite, balancer, ringPosition } = trace;
  const steps: TraceStep[] = [];
  if (balancer !== null) {
    const chosen =
      names.backend === null
        ? (notSent[trace.reason] ?? 'no backend takes new flows')
        : `backend ${names.backend}, ring position ${String(ringPosition)}`;
    steps.push({ stage: 'balance', title: 'Balance', detail: chosen, subject: names.backend ?? mapping });
  }
  if (rewrite === null) return steps;
  const changes = [
    ...(rewrite.isSource ? [`source ${words.source} > ${endpoint(rewrite.source, rewrite.sourcePort)}`] : []),
    ...(rewrite.isDestination ? [`destination ${words.destination} > ${endpoint(rewrite.destination, rewrite.destinationPort)}`] : []),
    ...(rewrite.dscp === null ? [] : [`DSCP ${String(rewrite.dscp)}`]),
    ...(rewrite.isDirect ? ['the MAC address alone: the backend answers by itself'] : []),
  ];
  if (changes.length > 0) steps.push({ stage: 'rewrite', title: 'Rewrite', detail: changes.join(' · '), subject: '' });
  const way = names.egress === null ? 'the kernel routes the packet' : `leaves by ${names.egress} without the kernel`;
  if (rewrite.isSource || rewrite.isDestination || rewrite.isDirect)
    steps.push({ stage: 'route', title: 'Way out', detail: way, subject: names.egress ?? '' });
  return steps;
};

const endpoint = (bytes: Uint8Array, port: number): string => {
  const address = addressFromBytes(bytes);
  if (address === undefined) return String(port);
  const text = formatAddress(address);
  return address.family === 6 ? `[${text}]:${String(port)}` : `${text}:${String(port)}`;
};

const verdictStep = ({ trace, mapping }: TracedPacket): TraceStep => {
  const sentence = reasonSentence(trace.reason);
  return {
    stage: 'verdict',
    title: 'Verdict',
    detail: `${isDropped(trace.reason) ? 'drop' : 'pass'}: ${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`,
    subject: mapping,
  };
};
