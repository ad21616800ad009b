/** A strict reader of RFC 5424 messages: what the grammar of section 6 does not allow raises, with the place. */

export interface ParsedSyslog {
  readonly facility: number;
  readonly severity: number;
  /** Milliseconds since the Unix epoch; null for "-". */
  readonly timeMs: number | null;
  readonly hostName: string;
  readonly appName: string;
  readonly processId: string;
  readonly messageId: string;
  readonly elements: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Without the byte order mark. */
  readonly text: string;
}

const printable = /^[\x21-\x7e]+$/;
const name = /^[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}/;

/** Reads one datagram. */
export const parseSyslog = (datagram: Uint8Array): ParsedSyslog => {
  const whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(datagram);
  const header = /^<(0|[1-9]\d{0,2})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) /.exec(whole);
  if (header === null) throw new Error(`no header of version 1: ${JSON.stringify(whole.slice(0, 80))}`);
  const [all, priority = '', time = '', hostName = '', appName = '', processId = '', messageId = ''] = header;
  if (Number(priority) > 191) throw new Error(`priority ${priority}`);
  for (const field of [hostName, appName, processId, messageId]) {
    if (!printable.test(field)) throw new Error(`a header field is not printable ASCII: ${JSON.stringify(field)}`);
  }
  const { elements, rest } = parseData(whole.slice(all.length));
  return {
    facility: Number(priority) >> 3,
    severity: Number(priority) & 7,
    timeMs: parseTime(time),
    hostName,
    appName,
    processId,
    messageId,
    elements,
    text: parseText(rest),
  };
};

const parseTime = (time: string): number | null => {
  if (time === '-') return null;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$/.test(time)) throw new Error(`timestamp ${time}`);
  const timeMs = Date.parse(time);
  if (Number.isNaN(timeMs)) throw new Error(`timestamp ${time}`);
  return timeMs;
};

const parseData = (text: string): { readonly elements: Record<string, Record<string, string>>; readonly rest: string } => {
  if (/^-( |$)/.test(text)) return { elements: {}, rest: text.slice(1) };
  const elements: Record<string, Record<string, string>> = {};
  let rest = text;
  while (rest.startsWith('[')) {
    const id = name.exec(rest.slice(1))?.[0];
    if (id === undefined || Object.hasOwn(elements, id)) throw new Error(`element at ${rest.slice(0, 40)}`);
    const parsed = parseParameters(rest.slice(1 + id.length));
    elements[id] = parsed.parameters;
    rest = parsed.rest;
  }
  if (Object.keys(elements).length === 0) throw new Error(`structured data at ${text.slice(0, 40)}`);
  return { elements, rest };
};

const parseParameters = (text: string): { readonly parameters: Record<string, string>; readonly rest: string } => {
  const parameters: Record<string, string> = {};
  let rest = text;
  while (!rest.startsWith(']')) {
    const key = rest.startsWith(' ') ? name.exec(rest.slice(1))?.[0] : undefined;
    // A quote, a backslash and a closing bracket stand only behind a backslash.
    const value = key === undefined ? null : /^="((?:[^"\\\]]|\\["\\\]])*)"/.exec(rest.slice(1 + key.length));
    if (key === undefined || value === null || Object.hasOwn(parameters, key)) throw new Error(`parameter at ${rest.slice(0, 40)}`);
    parameters[key] = (value[1] ?? '').replaceAll(/\\(["\\\]])/g, '$1');
    rest = rest.slice(1 + key.length + value[0].length);
  }
  return { parameters, rest: rest.slice(1) };
};

const parseText = (rest: string): string => {
  if (rest === '') return '';
  if (!rest.startsWith(' ')) throw new Error(`text at ${rest.slice(0, 40)}`);
  const text = rest.slice(1);
  const isAscii = /^\p{ASCII}*$/u.test(text);
  if (!isAscii && !text.startsWith('\uFEFF')) throw new Error('text beyond ASCII begins with a byte order mark');
  return text.replace(/^\uFEFF/, '');
};
