/**
 * A whole host, obviously correct and slow: parses, remembers flows and fragments in plain maps, judges by reading the
 * policy document. What the data path does to a packet has to be what this says. Not modelled: ICMP errors about flows,
 * packets longer than their way out, and policies that are replaced under translated flows.
 */
import type { PolicyDocument, PolicyMapping } from '../../native/image/policy-schema.ts';
import { isDropped } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { tcpFlags } from './packet.ts';
import { Decided, parsePacket } from './reference-model-parser.ts';
import type { ParsedPacket } from './reference-model-parser.ts';
import { ReferencePolicy } from './reference-model-policy.ts';
import { natPort, natTriesMax, ReferenceLimits, rewriteFor, send } from './reference-model-treatment.ts';
import type { ReferenceEnds, ReferenceRewrite, ReferenceSent, ReferenceSurroundings } from './reference-model-treatment.ts';

/** What the model does not follow: the runtimes are compared with each other there, and with the packet fixtures. */
export const notModelled: ReadonlySet<ReasonName> = new Set(['FLOW_RELATED', 'TOO_BIG']);

export interface ReferenceVerdict {
  readonly verdict: 'pass' | 'drop';
  readonly reason: ReasonName;
  /** Undefined = default action, or not judged by policy. */
  readonly mapping: string | undefined;
}

/** The verdict with what leaves: the packet as it came when it is dropped. */
export interface ReferenceResult extends ReferenceSent {
  readonly reason: ReasonName;
  readonly mapping: string | undefined;
}

interface Endpoint {
  readonly address: Uint8Array;
  readonly port: number;
}

interface Flow {
  readonly protocol: number;
  readonly initiator: Endpoint;
  readonly responder: Endpoint;
  /** Of the initiator's packets. */
  readonly rewrite: ReferenceRewrite | undefined;
  mapping: PolicyMapping | undefined;
  /** Policy that judged it last; "cut" when that denied it. */
  judgedBy: ReferencePolicy | 'cut';
  lastSeenMs: number;
  hasAnswer: boolean;
  hasFinForward: boolean;
  hasFinReverse: boolean;
  hasReset: boolean;
}

/** A translated flow is also known under the key of its rewritten packets: what the responder sends. */
interface Entry {
  readonly flow: Flow;
  readonly isAlias: boolean;
}

interface Decision {
  readonly reason: ReasonName;
  readonly mapping: PolicyMapping | undefined;
  readonly rewrite: ReferenceRewrite | undefined;
  /** A packet of the initiator: limits are about these. */
  readonly isForward: boolean;
}

interface Datagram {
  readonly decision: Decision;
  readonly seenMs: number;
}

const idleMs = { tcpOpening: 60_000, tcpEstablished: 7_200_000, tcpClosing: 10_000, udp: 60_000, icmp: 30_000, other: 60_000 };
const fragmentLifeMs = 30_000;
const nowhere: ReferenceSurroundings = { interfaceIndex: 1, interfaces: [], routes: [], lanes: 1 };

export class ReferenceHost {
  #policy: ReferencePolicy | undefined;
  #limits = new ReferenceLimits();
  readonly #around: ReferenceSurroundings;
  readonly #flows = new Map<string, Entry>();
  readonly #datagrams = new Map<string, Datagram>();

  /** Undefined = no policy was ever loaded. */
  constructor(policy?: PolicyDocument, around = nowhere) {
    this.#around = around;
    this.replacePolicy(policy);
  }

  /** Flows stay; each is judged again at its next packet. Rate limits begin anew. */
  replacePolicy(policy: PolicyDocument | undefined): void {
    this.#policy = policy === undefined ? undefined : new ReferencePolicy(policy);
    this.#limits = new ReferenceLimits();
  }

  /** What happens to a packet, from the Ethernet header on, at a time that never runs backwards. */
  receive(packet: Uint8Array, nowMs: number): ReferenceVerdict {
    const { verdict, reason, mapping } = this.process(packet, nowMs);
    return { verdict: verdict === 'drop' ? 'drop' : 'pass', reason, mapping };
  }

  /** The same, with the way out and the bytes; `nowNs` is what rate limits go by. */
  process(packet: Uint8Array, nowMs: number, nowNs = BigInt(Math.round(nowMs * 1e6))): ReferenceResult {
    const policy = this.#policy;
    if (policy === undefined) return { verdict: 'pass', output: packet, reason: 'NO_POLICY', mapping: undefined };
    const result = this.#read(policy, packet, { ms: nowMs, ns: nowNs });
    return policy.isEmpty && isDropped(result.reason)
      ? { verdict: 'pass', output: packet, reason: 'NO_POLICY', mapping: undefined }
      : result;
  }

  #read(policy: ReferencePolicy, frame: Uint8Array, now: Now): ReferenceResult {
    try {
      const packet = parsePacket(frame);
      const { reason, mapping, rewrite } = this.#decide(policy, packet, { ...now, bytes: frame.length });
      const named = { reason, mapping: mapping?.name };
      if (isDropped(reason)) return { ...named, verdict: 'drop', output: frame };
      if (rewrite === undefined) return { ...named, verdict: 'pass', output: frame };
      const sent = send(frame, { packet, rewrite }, this.#around);
      return sent.verdict === 'drop' ? { ...named, ...sent, reason: 'NO_ROUTE' } : { ...named, ...sent };
    } catch (error) {
      if (error instanceof Decided)
        return { verdict: isDropped(error.reason) ? 'drop' : 'pass', output: frame, reason: error.reason, mapping: undefined };
      throw error;
    }
  }

  #decide(policy: ReferencePolicy, packet: ParsedPacket, at: Moment): Decision {
    if (packet.fragment === 'later') return this.#followFirstFragment(packet, at);
    const decision = packet.hasFlow ? this.#decideInFlow(policy, packet, at) : this.#begin(policy, packet, at);
    if (packet.fragment === 'first') {
      if (isDropped(decision.reason)) this.#datagrams.delete(datagramKey(packet));
      else this.#datagrams.set(datagramKey(packet), { decision, seenMs: at.ms });
    }
    return decision;
  }

  /** Later fragments share the fate of the first one for half a minute, whatever policy came since. */
  #followFirstFragment(packet: ParsedPacket, at: Moment): Decision {
    const datagram = this.#datagrams.get(datagramKey(packet));
    if (datagram === undefined || at.ms - datagram.seenMs > fragmentLifeMs) return refusal('FRAGMENT_UNKNOWN', undefined);
    const { decision } = datagram;
    if (decision.isForward && !this.#isWithin(decision.mapping, packet, at)) return refusal('RATE_LIMIT', decision.mapping);
    return { ...decision, reason: 'FRAGMENT' };
  }

  #isWithin(mapping: PolicyMapping | undefined, packet: ParsedPacket, at: Moment): boolean {
    return mapping === undefined || this.#limits.take(mapping, packet, at);
  }

  #decideInFlow(policy: ReferencePolicy, packet: ParsedPacket, at: Moment): Decision {
    const key = flowKey(packet, packet.protocol);
    const entry = this.#flows.get(key);
    if (entry === undefined) return this.#begin(policy, packet, at);
    const { flow, isAlias } = entry;
    const twin = twinKey(flow);
    const isForward = !isAlias && isFromInitiator(flow, packet);
    // Who speaks to a responder past its translation has no flow, and cannot begin one: the key is in use.
    if (isAlias && !isReply(flow, packet)) return this.#begin(policy, { ...packet, hasFlow: false }, at);
    if (isIdle(flow, packet.protocol, at.ms)) {
      this.#flows.delete(key);
      this.#flows.delete(isAlias ? initiatorKey(flow) : twin);
      return this.#begin(policy, packet, at);
    }
    // A denied attempt to open the ended flow anew leaves its last packets their way; an allowed one takes its place.
    if (isReopened(flow, packet)) return this.#begin(policy, packet, at);
    const denied = this.#judgeAgain(policy, flow, at.ms);
    if (denied !== undefined) return denied;
    if (isForward && !this.#isWithin(flow.mapping, packet, at)) return refusal('RATE_LIMIT', flow.mapping);
    touch(flow, packet, { nowMs: at.ms, isForward });
    if (packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.reset) !== 0) {
      this.#flows.delete(isAlias ? initiatorKey(flow) : key);
      if (isAlias || isForward) this.#flows.delete(twin);
    }
    return { reason: 'FLOW', mapping: flow.mapping, rewrite: rewriteOf(flow, { isAlias, isForward }), isForward };
  }

  /** Undefined = the flow goes on. */
  #judgeAgain(policy: ReferencePolicy, flow: Flow, nowMs: number): Decision | undefined {
    if (flow.judgedBy === policy) return undefined;
    if (flow.rewrite !== undefined) throw new RangeError('a policy was replaced under a rewritten flow');
    const { source, destination } = { source: flow.initiator.address, destination: flow.responder.address };
    const judgement = policy.judge({ source, destination, protocol: flow.protocol, destinationPort: flow.responder.port });
    const isListed = policy.denies(source) || policy.denies(destination);
    if (!isListed && judgement.isAllowed) {
      flow.judgedBy = policy;
      flow.mapping = judgement.rule;
      return undefined;
    }
    flow.judgedBy = 'cut';
    flow.lastSeenMs = nowMs;
    return isListed ? refusal('DENY_LIST', undefined) : refusal(judgement.reason, judgement.rule);
  }

  /** A packet that no live flow answers for. */
  #begin(policy: ReferencePolicy, packet: ParsedPacket, at: Moment): Decision {
    if (policy.denies(packet.source) || policy.denies(packet.destination)) return refusal('DENY_LIST', undefined);
    const { isAllowed, reason, rule: mapping } = policy.judge(packet);
    if (!isAllowed) return refusal(reason, mapping);
    if (!this.#isWithin(mapping, packet, at)) return refusal('RATE_LIMIT', mapping);
    const rewrite = rewriteFor(mapping, packet, this.#around);
    if (typeof rewrite === 'string') return refusal(rewrite, mapping);
    const isReset = packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.reset) !== 0;
    if (!packet.hasFlow || isReset)
      return rewrite?.hidesSource === true ? refusal('NOT_TRANSLATABLE', mapping) : { reason, mapping, rewrite, isForward: true };
    this.#loosen(packet);
    const settled = rewrite?.isTranslated === true ? this.#reserve(packet, rewrite, at) : rewrite;
    if (settled === undefined && rewrite !== undefined) return refusal('NAT_EXHAUSTED', mapping);
    const flow: Flow = {
      protocol: packet.protocol,
      initiator: { address: packet.source, port: packet.sourcePort },
      responder: { address: packet.destination, port: packet.destinationPort },
      rewrite: settled,
      mapping,
      judgedBy: policy,
      lastSeenMs: at.ms,
      hasAnswer: false,
      hasFinForward: packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.fin) !== 0,
      hasFinReverse: false,
      hasReset: false,
    };
    if (settled?.isTranslated === true) this.#flows.set(twinKey(flow), { flow, isAlias: true });
    this.#flows.set(initiatorKey(flow), { flow, isAlias: false });
    return { reason, mapping, rewrite: settled, isForward: true };
  }

  /** An ended flow gives way: its other entry goes. */
  #loosen(packet: ParsedPacket): void {
    const old = this.#flows.get(flowKey(packet, packet.protocol));
    if (old === undefined) return;
    this.#flows.delete(old.isAlias ? initiatorKey(old.flow) : twinKey(old.flow));
  }

  /** The rewrite with a source port of which the responder's packets tell the flow; undefined = none was free. */
  #reserve(packet: ParsedPacket, rewrite: ReferenceRewrite, at: Moment): ReferenceRewrite | undefined {
    for (let attempt = 0; attempt < (rewrite.hidesSource ? natTriesMax : 1); attempt++) {
      const port = rewrite.hidesSource ? natPort(packet, attempt, this.#around) : rewrite.sourcePort;
      const tried = {
        ...rewrite,
        sourcePort: port,
        destinationPort: packet.transport === 'icmp' && rewrite.hidesSource ? port : rewrite.destinationPort,
      };
      const taken = this.#flows.get(flowKey(tried, packet.protocol));
      const isSame = taken?.isAlias === true && isFromInitiator(taken.flow, packet) && isToResponder(taken.flow, packet);
      const isOver = taken?.isAlias === true && isIdle(taken.flow, packet.protocol, at.ms);
      if (taken === undefined || isSame || (isOver && !rewrite.hidesSource)) return tried;
      if (isOver) this.#flows.delete(flowKey(tried, packet.protocol));
    }
    return undefined;
  }
}

interface Now {
  readonly ms: number;
  readonly ns: bigint;
}

interface Moment extends Now {
  /** Length of the packet. */
  readonly bytes: number;
}

const refusal = (reason: ReasonName, mapping: PolicyMapping | undefined): Decision => ({
  reason,
  mapping,
  rewrite: undefined,
  isForward: true,
});

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, position) => byte === b[position]);

const isFromInitiator = ({ initiator }: Flow, packet: ReferenceEnds): boolean =>
  packet.sourcePort === initiator.port && sameBytes(packet.source, initiator.address);

const isToResponder = ({ responder }: Flow, packet: ReferenceEnds): boolean =>
  packet.destinationPort === responder.port && sameBytes(packet.destination, responder.address);

/** From where the initiator's packets of a translated flow go. */
const isReply = ({ rewrite }: Flow, packet: ReferenceEnds): boolean =>
  rewrite !== undefined && packet.sourcePort === rewrite.destinationPort && sameBytes(packet.source, rewrite.destination);

/** What the initiator's packets become, or the responder's; packets past the translation are marked only. */
const rewriteOf = (flow: Flow, way: { readonly isAlias: boolean; readonly isForward: boolean }): ReferenceRewrite | undefined => {
  const { rewrite, initiator, responder } = flow;
  if (rewrite === undefined || way.isForward) return rewrite;
  if (way.isAlias)
    return {
      ...rewrite,
      source: responder.address,
      sourcePort: responder.port,
      destination: initiator.address,
      destinationPort: initiator.port,
    };
  return rewrite.dscp === undefined ? undefined : { ...rewrite, isTranslated: false, isDirect: false };
};

const endpointText = (address: Uint8Array, port: number): string => `${address.join('.')}#${String(port)}`;

/** The same for both directions. */
const flowKey = (packet: ReferenceEnds, protocol: number): string => {
  const ends = [endpointText(packet.source, packet.sourcePort), endpointText(packet.destination, packet.destinationPort)].sort();
  return `${String(protocol)} ${ends.join(' ')}`;
};

const initiatorKey = ({ initiator, responder, protocol }: Flow): string =>
  flowKey(
    { source: initiator.address, sourcePort: initiator.port, destination: responder.address, destinationPort: responder.port },
    protocol,
  );

/** Key of the translated packets; without translation the flow's own. */
const twinKey = (flow: Flow): string => (flow.rewrite?.isTranslated === true ? flowKey(flow.rewrite, flow.protocol) : initiatorKey(flow));

const datagramKey = (packet: ParsedPacket): string =>
  `${String(packet.fragmentProtocol)} ${String(packet.identification)} ${packet.source.join('.')} ${packet.destination.join('.')}`;

const isFinished = (flow: Flow): boolean => flow.hasReset || (flow.hasFinForward && flow.hasFinReverse);

const isIdle = (flow: Flow, protocol: number, nowMs: number): boolean => nowMs - flow.lastSeenMs > idleLimitMs(flow, protocol);

const idleLimitMs = (flow: Flow, protocol: number): number => {
  if (protocol === 17) return idleMs.udp;
  if (protocol === 1 || protocol === 58) return idleMs.icmp;
  if (protocol !== 6) return idleMs.other;
  if (isFinished(flow)) return idleMs.tcpClosing;
  return flow.hasAnswer ? idleMs.tcpEstablished : idleMs.tcpOpening;
};

/** A new connection between the ports of one that has ended or was cut. */
const isReopened = (flow: Flow, packet: ParsedPacket): boolean => {
  if (packet.transport !== 'tcp') return false;
  const isFirstSyn = (packet.tcpFlags & (tcpFlags.syn | tcpFlags.ack | tcpFlags.reset | tcpFlags.fin)) === tcpFlags.syn;
  return isFirstSyn && (flow.judgedBy === 'cut' || isFinished(flow));
};

const touch = (flow: Flow, packet: ParsedPacket, { nowMs, isForward }: { readonly nowMs: number; readonly isForward: boolean }): void => {
  flow.lastSeenMs = nowMs;
  if (packet.transport !== 'tcp') return;
  const hasFin = (packet.tcpFlags & tcpFlags.fin) !== 0;
  if (!isForward) flow.hasAnswer = true;
  if (hasFin && isForward) flow.hasFinForward = true;
  if (hasFin && !isForward) flow.hasFinReverse = true;
  if ((packet.tcpFlags & tcpFlags.reset) !== 0) flow.hasReset = true;
};
