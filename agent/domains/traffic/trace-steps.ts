import { isDropped, reasonSentence } from '../../../proto/model/reason.ts';
import { traceFlow, traceParse } from '../../engine/api.ts';
import type { EngineTrace, Judgement } from '../../engine/api.ts';
import type { TraceResult } from './api.ts';
import { packetWords } from './packet-words.ts';
import type { PacketWords } from './packet-words.ts';

export interface TracedPacket {
  readonly packet: Uint8Array;
  readonly trace: EngineTrace;
  /** Mapping that decided, as the kernel's tables name it; empty = default action or not judged. */
  readonly mapping: string;
  /** The same packet judged with the image of the kernel's tables; null when policy was not asked. */
  readonly judgement: Judgement | null;
  readonly defaultAction: 'allow' | 'deny';
}

type Steps = TraceResult['steps'];
type Step = Steps[number];

const namesMax = 5;

/** The packet's way through the data path, in words. */
export const traceSteps = (traced: TracedPacket): Steps => {
  const words = packetWords(traced.packet, traced.trace);
  const steps = [parseStep(traced, words)];
  const { flow, l4 } = traced.trace;
  if (flow !== traceFlow.notAsked) steps.push(flowStep(flow));
  if (traced.judgement !== null && l4 !== 0) steps.push(identityStep(traced.judgement, words), policyStep(traced, traced.judgement));
  steps.push(verdictStep(traced));
  return steps;
};

const parseStep = ({ packet, trace }: TracedPacket, words: PacketWords): Step => {
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

const flowStep = (flow: number): Step => ({
  stage: 'flow',
  title: 'Flow table',
  detail: flowDetails[flow] ?? 'unknown answer',
  subject: '',
});

const identityStep = (judgement: Judgement, words: PacketWords): Step => ({
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

const policyStep = ({ mapping, defaultAction }: TracedPacket, judgement: Judgement): Step => {
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

const verdictStep = ({ trace, mapping }: TracedPacket): Step => {
  const sentence = reasonSentence(trace.reason);
  return {
    stage: 'verdict',
    title: 'Verdict',
    detail: `${isDropped(trace.reason) ? 'drop' : 'pass'}: ${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`,
    subject: mapping,
  };
};
