/** Facilities a host program may use, by the names that syslog daemons know, with their numbers (RFC 5424 table 1). */
export const syslogFacilities = {
  user: 1,
  daemon: 3,
  auth: 4,
  authpriv: 10,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const;
export type SyslogFacility = keyof typeof syslogFacilities;

/** Severities (RFC 5424 table 2), those that a program which still runs may use. */
export const syslogSeverities = { critical: 2, error: 3, warning: 4, notice: 5, informational: 6, debug: 7 } as const;
export type SyslogSeverity = keyof typeof syslogSeverities;

/** Who sends, the same in each message. */
export interface SyslogSource {
  readonly facility: SyslogFacility;
  readonly hostName: string;
  readonly appName: string;
  readonly processId: number;
}

export interface SyslogMessage {
  readonly severity: SyslogSeverity;
  /** Since the Unix epoch, milliseconds; a time that no date has is sent as "-". */
  readonly timeMs: number;
  /** Type of the message; empty: "-". */
  readonly messageId: string;
  /** The one structured data element; null: "-". */
  readonly data: SyslogElement | null;
  /** Free text, cut when the datagram grows too long; may be empty. */
  readonly text: string;
}

export interface SyslogElement {
  /** name@enterprise number, at most 32 characters of printable ASCII without "=", "]", quotes and spaces. */
  readonly id: string;
  /** Names like the id; values are cut at {@link valueCharactersMax}. */
  readonly parameters: readonly (readonly [name: string, value: string | number | bigint])[];
}

/** A longer value is cut: it would crowd out the others, characters. */
export const valueCharactersMax = 255;
const byteOrderMark = '\uFEFF';

/**
 * One RFC 5424 message of at most `bytesMax` bytes: only the free text is cut, between characters. Null when header and structured data
 * alone are longer. Free text that is not ASCII begins with a byte order mark (section 6.4).
 */
export const formatSyslog = (source: SyslogSource, message: SyslogMessage, bytesMax: number): Buffer | null => {
  const header = [
    `<${syslogFacilities[source.facility] * 8 + syslogSeverities[message.severity]}>1`,
    timestamp(message.timeMs),
    headerText(source.hostName, 255),
    headerText(source.appName, 48),
    headerText(String(source.processId), 128),
    headerText(message.messageId, 32),
    message.data === null ? '-' : formatElement(message.data),
  ].join(' ');
  const fixedBytes = Buffer.byteLength(header);
  if (fixedBytes > bytesMax) return null;
  if (message.text === '') return Buffer.from(header);
  const text = message.text.toWellFormed();
  const datagram = Buffer.from(`${header} ${isAscii(text) ? '' : byteOrderMark}${text}`);
  return datagram.subarray(0, wholeCharactersEnd(datagram, bytesMax));
};

const isAscii = (text: string): boolean => /^\p{ASCII}*$/u.test(text);

const timestamp = (timeMs: number): string => {
  const date = new Date(timeMs);
  const year = date.getUTCFullYear();
  return year >= 0 && year <= 9999 ? date.toISOString() : '-';
};

/** Header fields are printable US-ASCII without spaces, "-" when there is nothing. */
const headerText = (text: string, lengthMax: number): string =>
  printable.test(text) && text.length <= lengthMax ? text : printableOf(text, lengthMax);

const printable = /^[\x21-\x7e]+$/;
const printableOf = (text: string, lengthMax: number): string => text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, lengthMax) || '-';

const formatElement = ({ id, parameters }: SyslogElement): string =>
  `[${id}${parameters.map(([name, value]) => ` ${name}="${typeof value === 'string' ? escapeValue(value) : String(value)}"`).join('')}]`;

/** Most values: nothing to escape, nothing to cut. */
const plainValue = /^[\w.:#+-]{0,128}$/;

/** Section 6.3.3; control characters are written as "#" and three octal digits, so that one message stays one line. */
const escapeValue = (value: string): string => (plainValue.test(value) ? value : escapeAny(value.slice(0, valueCharactersMax)));

const escapeAny = (value: string): string =>
  value
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, (control) => `#${control.charCodeAt(0).toString(8).padStart(3, '0')}`)
    .replaceAll(/["\\\]]/g, '\\$&');

/** The last boundary between UTF-8 characters at or before the limit. */
const wholeCharactersEnd = (bytes: Buffer, limit: number): number => {
  let end = Math.min(bytes.length, limit);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return end;
};
