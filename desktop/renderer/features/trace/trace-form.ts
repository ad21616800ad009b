/** The tracer's form: what was typed, and the call it makes. */
import type { InputOf } from '../../../bridge/contract.ts';

export const protocols = ['tcp', 'udp', 'icmp'] as const;
export const tcpFlags = ['syn', 'syn-ack', 'ack', 'fin', 'rst'] as const;

export interface TraceForm {
  readonly hostId: string;
  readonly interface: string;
  readonly mode: 'form' | 'hex';
  readonly protocol: (typeof protocols)[number];
  readonly source: string;
  readonly sourcePort: string;
  readonly destination: string;
  readonly destinationPort: string;
  readonly flags: (typeof tcpFlags)[number];
  readonly vlan: string;
  readonly hex: string;
  readonly withDraft: boolean;
}

const oneOf = <Value extends string>(values: readonly Value[], text: string | null, fallback: Value): Value =>
  values.find((value) => value === text) ?? fallback;

/** The form as an address asks for it (`#/trace?host=...&source=...`). */
export const formOfSearch = (search: URLSearchParams): TraceForm => ({
  hostId: search.get('host') ?? '',
  interface: search.get('interface') ?? '',
  mode: search.has('hex') ? 'hex' : 'form',
  protocol: oneOf(protocols, search.get('protocol'), 'tcp'),
  source: search.get('source') ?? '',
  sourcePort: search.get('sourcePort') ?? '',
  destination: search.get('destination') ?? '',
  destinationPort: search.get('destinationPort') ?? '',
  flags: oneOf(tcpFlags, search.get('flags'), 'syn'),
  vlan: search.get('vlan') ?? '',
  hex: search.get('hex') ?? '',
  withDraft: true,
});

/** True when a link has filled in enough to trace at once. */
export const isFilled = (form: TraceForm): boolean =>
  form.hostId !== '' && form.interface !== '' && form.source !== '' && form.destination !== '';

export type FormFaults = Readonly<Partial<Record<keyof TraceForm, string>>>;

const numberIn = (text: string, minimum: number, maximum: number): number | null =>
  /^\d{1,5}$/.test(text) && Number(text) >= minimum && Number(text) <= maximum ? Number(text) : null;

/** What must be mended before the packet can be made; addresses are judged by the core. */
export const faultsOf = (form: TraceForm): FormFaults => {
  const faults: { -readonly [Key in keyof TraceForm]?: string } = {};
  if (form.hostId === '') faults.hostId = 'Choose a host.';
  if (form.interface === '') faults.interface = 'Choose where the packet arrives.';
  if (form.mode === 'hex') {
    if (!/^[0-9a-fA-F]*$/.test(hexDigits(form.hex)) || hexDigits(form.hex).length < 28 || hexDigits(form.hex).length % 2 !== 0)
      faults.hex = 'At least 14 bytes in hex, from the Ethernet header on.';
    return faults;
  }
  if (form.source.trim() === '') faults.source = 'Needed.';
  if (form.destination.trim() === '') faults.destination = 'Needed.';
  if (form.protocol !== 'icmp') {
    if (form.sourcePort !== '' && numberIn(form.sourcePort, 0, 65_535) === null) faults.sourcePort = '0 to 65535.';
    if (numberIn(form.destinationPort, 0, 65_535) === null) faults.destinationPort = '0 to 65535.';
  }
  if (form.vlan !== '' && numberIn(form.vlan, 1, 4_094) === null) faults.vlan = '1 to 4094, or nothing.';
  return faults;
};

/** Hex without blanks, colons, 0x and the offsets of a dump. */
export const hexDigits = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.replace(/^\s*[0-9a-fA-F]{4,8}[:\s]\s*(?=(?:[0-9a-fA-F]{2}\s){2})/, ''))
    .join('')
    .replaceAll(/0x|[\s:]/g, '');

/** The call. Only for a form without faults. */
export const inputOf = (form: TraceForm, draft: string | undefined): InputOf<'trace.run'> => {
  const base = { hostId: form.hostId, interface: form.interface, ...(draft === undefined ? {} : { draft }) };
  if (form.mode === 'hex') return { ...base, packet: { hex: hexDigits(form.hex) } };
  const hasPorts = form.protocol !== 'icmp';
  const sourcePort = numberIn(form.sourcePort, 0, 65_535);
  const destinationPort = numberIn(form.destinationPort, 0, 65_535);
  const vlan = numberIn(form.vlan, 1, 4_094);
  return {
    ...base,
    packet: {
      protocol: form.protocol,
      source: form.source.trim(),
      destination: form.destination.trim(),
      ...(hasPorts && sourcePort !== null ? { sourcePort } : {}),
      ...(hasPorts && destinationPort !== null ? { destinationPort } : {}),
      ...(form.protocol === 'tcp' ? { tcpFlags: form.flags } : {}),
      ...(vlan === null ? {} : { vlan }),
    },
  };
};
