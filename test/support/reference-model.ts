/**
 * A whole host, obviously correct and slow: parses, remembers flows and fragments in plain maps, judges by reading the
 * policy document. What the data path does to a packet has to be what this says.
 */
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { isDropped } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { tcpFlags } from './packet.ts';
import { Decided, parsePacket } from './reference-model-parser.ts';
import type { ParsedPacket } from './reference-model-parser.ts';
import { ReferencePolicy } from './reference-model-policy.ts';
import type { ReferenceJudgement } from './reference-model-policy.ts';

export interface ReferenceVerdict {
  readonly verdict: 'pass' | 'drop';
  readonly reason: ReasonName;
  /** Undefined = default action, or not judged by policy. */
  readonly mapping: string | undefined;
}

interface Endpoint {
  readonly address: Uint8Array;
  readonly port: number;
}

interface Flow {
  readonly initiator: Endpoint;
  readonly responder: Endpoint;
  mapping: string | undefined;
  /** Policy that judged it last; "cut" when that denied it. */
  judgedBy: ReferencePolicy | 'cut';
  lastSeenMs: number;
  hasAnswer: boolean;
  hasFinForward: boolean;
  hasFinReverse: boolean;
  hasReset: boolean;
}

const idleMs = { tcpOpening: 60_000, tcpEstablished: 7_200_000, tcpClosing: 10_000, udp: 60_000, icmp: 30_000, other: 60_000 };
const fragmentLifeMs = 30_000;

export class ReferenceHost {
  #policy: ReferencePolicy | undefined;
  readonly #flows = new Map<string, Flow>();
  readonly #datagrams = new Map<string, { readonly mapping: string | undefined; readonly seenMs: number }>();

  /** Undefined = no policy was ever loaded. */
  constructor(policy?: PolicyDocument) {
    this.replacePolicy(policy);
  }

  /** Flows stay; each is judged again at its next packet. */
  replacePolicy(policy: PolicyDocument | undefined): void {
    this.#policy = policy === undefined ? undefined : new ReferencePolicy(policy);
  }

  /** What happens to a packet, from the Ethernet header on, at a time that never runs backwards. */
  receive(packet: Uint8Array, nowMs: number): ReferenceVerdict {
    const policy = this.#policy;
    if (policy === undefined) return verdictOf('NO_POLICY', undefined);
    const verdict = this.#read(policy, packet, nowMs);
    return policy.isEmpty && verdict.verdict === 'drop' ? verdictOf('NO_POLICY', undefined) : verdict;
  }

  #read(policy: ReferencePolicy, packet: Uint8Array, nowMs: number): ReferenceVerdict {
    try {
      return this.#decide(policy, parsePacket(packet), nowMs);
    } catch (error) {
      if (error instanceof Decided) return verdictOf(error.reason, undefined);
      throw error;
    }
  }

  #decide(policy: ReferencePolicy, packet: ParsedPacket, nowMs: number): ReferenceVerdict {
    if (packet.fragment === 'later') return this.#followFirstFragment(packet, nowMs);
    const result = packet.hasFlow ? this.#decideInFlow(policy, packet, nowMs) : toVerdict(policy.judge(packet));
    if (packet.fragment === 'first') {
      if (result.verdict === 'pass') this.#datagrams.set(datagramKey(packet), { mapping: result.mapping, seenMs: nowMs });
      else this.#datagrams.delete(datagramKey(packet));
    }
    return result;
  }

  /** Later fragments share the fate of the first one for half a minute, whatever policy came since. */
  #followFirstFragment(packet: ParsedPacket, nowMs: number): ReferenceVerdict {
    const datagram = this.#datagrams.get(datagramKey(packet));
    if (datagram === undefined || nowMs - datagram.seenMs > fragmentLifeMs) return verdictOf('FRAGMENT_UNKNOWN', undefined);
    return verdictOf('FRAGMENT', datagram.mapping);
  }

  #decideInFlow(policy: ReferencePolicy, packet: ParsedPacket, nowMs: number): ReferenceVerdict {
    const key = flowKey(packet);
    const flow = this.#flows.get(key);
    if (flow === undefined || isIdle(flow, packet.protocol, nowMs)) {
      this.#flows.delete(key);
      return this.#beginFlow(policy, packet, nowMs);
    }
    // A denied attempt to open the ended flow anew leaves its last packets their way; an allowed one takes its place.
    if (isReopened(flow, packet)) return this.#beginFlow(policy, packet, nowMs);
    if (flow.judgedBy !== policy) {
      const { source, destination } = { source: flow.initiator.address, destination: flow.responder.address };
      const judgement = policy.judge({ source, destination, protocol: packet.protocol, destinationPort: flow.responder.port });
      if (!judgement.isAllowed) {
        flow.judgedBy = 'cut';
        flow.lastSeenMs = nowMs;
        return toVerdict(judgement);
      }
      flow.judgedBy = policy;
      flow.mapping = judgement.mapping;
    }
    touch(flow, packet, nowMs);
    if (packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.reset) !== 0) this.#flows.delete(key);
    return verdictOf('FLOW', flow.mapping);
  }

  #beginFlow(policy: ReferencePolicy, packet: ParsedPacket, nowMs: number): ReferenceVerdict {
    const judgement = policy.judge(packet);
    const isReset = packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.reset) !== 0;
    if (judgement.isAllowed && !isReset) {
      this.#flows.set(flowKey(packet), {
        initiator: { address: packet.source, port: packet.sourcePort },
        responder: { address: packet.destination, port: packet.destinationPort },
        mapping: judgement.mapping,
        judgedBy: policy,
        lastSeenMs: nowMs,
        hasAnswer: false,
        hasFinForward: packet.transport === 'tcp' && (packet.tcpFlags & tcpFlags.fin) !== 0,
        hasFinReverse: false,
        hasReset: false,
      });
    }
    return toVerdict(judgement);
  }
}

const verdictOf = (reason: ReasonName, mapping: string | undefined): ReferenceVerdict => ({
  verdict: isDropped(reason) ? 'drop' : 'pass',
  reason,
  mapping,
});

const toVerdict = (judgement: ReferenceJudgement): ReferenceVerdict => verdictOf(judgement.reason, judgement.mapping);

const endpointText = (address: Uint8Array, port: number): string => `${address.join('.')}#${String(port)}`;

/** The same for both directions. */
const flowKey = (packet: ParsedPacket): string => {
  const ends = [endpointText(packet.source, packet.sourcePort), endpointText(packet.destination, packet.destinationPort)].sort();
  return `${String(packet.protocol)} ${ends.join(' ')}`;
};

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

const touch = (flow: Flow, packet: ParsedPacket, nowMs: number): void => {
  flow.lastSeenMs = nowMs;
  if (packet.transport !== 'tcp') return;
  const isForward =
    packet.sourcePort === flow.initiator.port && packet.source.every((byte, position) => byte === flow.initiator.address[position]);
  const hasFin = (packet.tcpFlags & tcpFlags.fin) !== 0;
  if (!isForward) flow.hasAnswer = true;
  if (hasFin && isForward) flow.hasFinForward = true;
  if (hasFin && !isForward) flow.hasFinReverse = true;
  if ((packet.tcpFlags & tcpFlags.reset) !== 0) flow.hasReset = true;
};
