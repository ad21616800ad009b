import type { SyslogMessage } from '../../../lib/syslog-message.ts';
import type { ExportedFlow } from './exported-flow.ts';

/** The enterprise number is that of documentation (RFC 5612): collectors match the whole identifier. */
const flowElement = 'nestflow@32473';
const protocolNames: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6' };
const withPorts = new Set(['tcp', 'udp']);
const withIdentifier = new Set(['icmp', 'icmp6']);
const sentences = { start: 'began', periodic: 'goes on', end: 'ended', deny: 'denied', cut: 'cut' } as const;
/** Lowest bit first. */
const tcpFlagLetters = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'];

type Parameter = readonly [name: string, value: string | number | bigint];

/** The message of one flow record: everything as structured data, and a line for people. */
export const flowMessage = (flow: ExportedFlow, cluster: string): SyslogMessage => {
  const { kind, record, delta, isAllowed, reason, mapping } = flow;
  const protocol = protocolNames[record.protocol] ?? String(record.protocol);
  const { sourceText: source, destinationText: destination, forward, reverse } = record;
  const parameters: readonly Parameter[] = [
    ...clusterParameter(cluster),
    ['event', kind],
    ['verdict', isAllowed ? 'allow' : 'deny'],
    ['reason', reason],
    ['mapping', mapping],
    ['revision', flow.revision],
    ['interface', flow.interfaceName],
    ['family', record.family],
    ['protocol', protocol],
    ['source', source],
    ['destination', destination],
    ...endpointParameters(flow, protocol),
    ...translationParameters(flow, protocol),
    ['packets', forward.packets],
    ['bytes', forward.bytes],
    ['reversePackets', reverse.packets],
    ['reverseBytes', reverse.bytes],
    ['newPackets', delta.forwardPackets],
    ['newBytes', delta.forwardBytes],
    ['newReversePackets', delta.reversePackets],
    ['newReverseBytes', delta.reverseBytes],
    ['start', String(Math.round(flow.startMs))],
    ['ageMs', record.ageMs ?? 0],
  ];
  return {
    severity: isAllowed ? 'informational' : 'notice',
    timeMs: flow.endMs,
    messageId: `flow-${kind}`,
    data: { id: flowElement, parameters },
    text: `${protocol} ${endpoint(flow, protocol, [source, record.sourcePort])} > ${endpoint(flow, protocol, [destination, record.destinationPort])} ${sentences[kind]}: ${reason}${mapping === '' ? '' : ` by ${mapping}`}`,
  };
};

/** Empty when the host names no cluster. */
export const clusterParameter = (cluster: string): readonly Parameter[] => (cluster === '' ? [] : [['cluster', cluster]]);

const endpointParameters = ({ record, delta, tcpState }: ExportedFlow, protocol: string): readonly Parameter[] => {
  if (withIdentifier.has(protocol)) return [['identifier', record.sourcePort]];
  if (!withPorts.has(protocol)) return [];
  const ports: readonly Parameter[] = [
    ['sourcePort', record.sourcePort],
    ['destinationPort', record.destinationPort],
  ];
  if (protocol !== 'tcp') return ports;
  return [...ports, ['tcpState', tcpState], ['tcpFlags', flagLetters(delta.tcpFlags)]];
};

/** Ends as the packets leave, and the backend that a balancer chose; none where there is no translation. */
const translationParameters = ({ record, translation }: ExportedFlow, protocol: string): readonly Parameter[] => {
  if (translation === null) return [];
  const { source, destination, sourcePort, destinationPort, backend } = translation;
  const ends: readonly Parameter[] = [
    ['translatedSource', source],
    ['translatedDestination', destination],
  ];
  const identifier: readonly Parameter[] = withIdentifier.has(protocol) ? [['translatedIdentifier', sourcePort]] : [];
  const ports: readonly Parameter[] = [
    ['translatedSourcePort', sourcePort],
    ['translatedDestinationPort', destinationPort],
  ];
  return [
    ...(record.translated === null ? [] : [...ends, ...(withPorts.has(protocol) ? ports : identifier)]),
    ...(backend === '' ? [] : [['backend', backend] as const]),
  ];
};

const flagLetters = (flags: number): string => tcpFlagLetters.filter((_, bit) => (flags & (1 << bit)) !== 0).join('');

const endpoint = ({ record }: ExportedFlow, protocol: string, [address, port]: readonly [string, number]): string => {
  if (!withPorts.has(protocol)) return address;
  return record.family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
};
