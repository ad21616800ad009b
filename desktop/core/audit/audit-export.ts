/**
 * Exports: JSON lines with everything a stranger needs to check them, without a console, a fleet or a network. First a header with the
 * fleet's root, then for each host its entries (readable, and as the bytes that are hashed) and the signed head with its certificates.
 * docs/operations/audit.md describes the check by hand; `checkAuditExport` is the same in code.
 */
import { X509Certificate } from 'node:crypto';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { extendChain, previousHashOf } from '../../../proto/model/audit.ts';
import type { AuditHead, ChainEnd } from '../../../proto/model/audit.ts';
import { AuditWalk } from '../../../proto/model/audit-walk.ts';
import { certificatesIn } from '../../../proto/model/certificate-path.ts';
import { signedBytes } from '../../../proto/model/envelope.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { AuditExportPiece, AuditRow } from '../../bridge/model.ts';
import { throwIfCancelled } from '../../lib/api.ts';
import { trustedRoots } from '../authority/root-change-record.ts';
import { rootNamesOf } from '../authority/root-name.ts';
import type { HandlerContext } from '../handler-context.ts';
import { auditRowOf } from './audit-timeline.ts';
import { headSignedUnder } from './signed-head.ts';

/** Entries in one piece: about half a megabyte. */
const pieceEntries = 1_000;
const formatName = 'nest-audit-export';
const formatVersion = 1;
/** Hosts in one file. */
const exportHostsMax = 10_000;
/** The present root, and the one that follows it. */
const rootsMax = 2;

/** The first line of an export of these hosts. Raises FLEET_LOCKED, FLEET_MISSING, HOST_UNKNOWN. */
export const exportHeader = async ({ keeper, roster, clock }: HandlerContext, hostIds: readonly string[]): Promise<AuditExportPiece> => {
  const { keys } = await keeper.session();
  const hosts = hostIds.map((hostId) => ({ hostId, name: roster.get(hostId).record.name }));
  const header = {
    type: formatName,
    version: formatVersion,
    fleetId: keys.fleetId,
    fleetName: keys.fleetName,
    createdAt: new Date(clock.now()).toISOString(),
    // Two while the root changes: hosts sign under either.
    root: trustedRoots(keys),
    hosts,
  };
  return { text: lineOf(header), next: hosts.length === 0 ? null : 0 };
};

/**
 * Lines of one host from entry `after` + 1 on: at most a thousand entries, then ask again with `next`. The last piece ends with a head that
 * was signed for exactly its last entry. Raises what the host says, AUDIT_BROKEN when it is not the host's log.
 */
export const exportPiece = async (
  { roster }: HandlerContext,
  { hostId, after }: { readonly hostId: string; readonly after: number },
  signal: AbortSignal,
): Promise<AuditExportPiece> => {
  const host = roster.get(hostId);
  const client = await host.client(signal);
  const { head: envelope, firstNumber } = await client.getAuditHead({ signal });
  const head = host.witness.headOf(envelope);
  const start = Math.max(after, Number(firstNumber) - 1);
  const target = Math.min(head.number, start + pieceEntries);
  const lines: string[] = [];
  let end: ChainEnd | null = null;
  for await (const piece of client.listAuditEntries({ after: start, max: target - start }, signal)) {
    for (const bytes of piece) {
      end = extendChain(end ?? { number: start, hash: Buffer.from(previousHashOf(bytes)) }, bytes);
      lines.push(entryLine(auditRowOf(host.record, bytes), bytes));
    }
  }
  throwIfCancelled(signal);
  if (target > start && end?.number !== target)
    throw new NestError('AUDIT_BROKEN', `Entry ${String((end?.number ?? start) + 1)} was signed for, but the host does not give it.`);
  if (target < head.number) return { text: lines.join(''), next: target };
  return { text: lines.join('') + headLine(host.record, head, envelope ?? SignedEnvelope.fromPartial({})), next: null };
};

/** The last line of a host: the envelope, and what it says in the words of other tools. */
const headLine = (host: { readonly hostId: string; readonly name: string }, head: AuditHead, envelope: SignedEnvelope): string =>
  lineOf({
    type: 'head',
    hostId: host.hostId,
    hostName: host.name,
    number: head.number,
    hash: head.hash.toString('hex'),
    signedAt: new Date(head.atMs).toISOString(),
    certificates: (envelope.signatures[0]?.certificateChain ?? []).map((der) => new X509Certificate(der).toString()),
    signed: signedBytes(envelope.payloadType, envelope.payload).toString('base64'),
    signature: derSignature(envelope.signatures[0]?.signature ?? Buffer.alloc(64)).toString('base64'),
    envelope: Buffer.from(SignedEnvelope.encode(envelope).finish()).toString('base64'),
  });

/** The same signature as other tools expect it: a sequence of two integers. */
const derSignature = (signature: Uint8Array): Buffer => {
  const integer = (bytes: Uint8Array): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const trimmed = bytes.subarray(Math.max(0, start));
    const value = (trimmed[0] ?? 0) >= 128 ? Buffer.concat([Buffer.alloc(1), trimmed]) : Buffer.from(trimmed);
    return Buffer.concat([Buffer.from([2, value.length]), value]);
  };
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.from([48, body.length]), body]);
};

const entryLine = (row: AuditRow, bytes: Buffer): string => lineOf({ type: 'entry', ...readable(row), bytes: bytes.toString('base64') });
const readable = ({ at, ...row }: AuditRow): object => ({ ...row, at: new Date(at).toISOString() });
const lineOf = (value: object): string => `${JSON.stringify(value)}\n`;

export interface AuditExportVerdict {
  readonly fleetId: string;
  readonly createdAt: string;
  /** SHA-256 of the root certificates (DER), hex: each must be one that you trust. Two when the root was being changed. */
  readonly rootSha256: readonly string[];
  /** SHA-256 of their public keys, hex, in the same order: as consoles print them when a device joins. */
  readonly rootKeySha256: readonly string[];
  readonly hosts: readonly ExportedHost[];
  /** True when every host of the header is there and sound. */
  readonly isSound: boolean;
}

export interface ExportedHost {
  readonly hostId: string;
  readonly hostName: string;
  readonly first: number;
  readonly last: number;
  readonly signedAt: number | null;
  readonly problem: { readonly number: number; readonly message: string } | null;
}

/** Checks an export without asking anybody. Raises INPUT_INVALID when the text is no export. */
export const checkAuditExport = async (lines: AsyncIterable<string>): Promise<AuditExportVerdict> => {
  let check: ExportCheck | null = null;
  let count = 0;
  for await (const line of lines) {
    if (line.trim() === '') continue;
    count += 1;
    const value = parseLine(line, count);
    if (check === null) check = new ExportCheck(value);
    else check.take(value);
  }
  if (check === null) throw notAnExport(1);
  return check.verdict();
};

type Line = Readonly<Record<string, unknown>>;

interface HostCheck {
  readonly hostName: string;
  readonly walk: AuditWalk;
  signedAt: number | null;
  problem: ExportedHost['problem'];
}

class ExportCheck {
  readonly #header: Line;
  readonly #roots: readonly X509Certificate[];
  readonly #hosts = new Map<string, HostCheck>();

  constructor(header: Line) {
    if (header['type'] !== formatName || header['version'] !== formatVersion || !Array.isArray(header['hosts'])) throw notAnExport(1);
    this.#header = header;
    try {
      this.#roots = certificatesIn(textOf(header['root']));
    } catch (error) {
      throw new NestError('INPUT_INVALID', 'The root certificate in the header of the export cannot be read.', { cause: error });
    }
    if (this.#roots.length === 0 || this.#roots.length > rootsMax)
      throw new NestError('INPUT_INVALID', 'The header of the export holds no root certificate, or too many.');
    for (const host of (header['hosts'] as readonly Line[]).slice(0, exportHostsMax))
      this.#hosts.set(textOf(host['hostId']), {
        hostName: textOf(host['name']),
        walk: new AuditWalk(),
        signedAt: null,
        problem: null,
      });
  }

  take(line: Line): void {
    const hostId = textOf(line['hostId']);
    const host = this.#hosts.get(hostId);
    if (host === undefined)
      throw new NestError('INPUT_INVALID', `The export has lines of a host that its header does not name: ${hostId.slice(0, 26)}.`);
    if (host.problem !== null) return;
    try {
      if (line['type'] === 'entry') takeEntry({ hostId, host }, line);
      else if (line['type'] === 'head') this.#takeHead({ hostId, host }, line);
      else throw new NestError('AUDIT_BROKEN', 'A line is neither an entry nor a head.');
    } catch (error) {
      const { message, details } = toErrorShape(error);
      host.problem = { number: typeof details['number'] === 'number' ? details['number'] : host.walk.end.number + 1, message };
    }
  }

  verdict(): AuditExportVerdict {
    const hosts = [...this.#hosts].map(([hostId, host]): ExportedHost => {
      const { hostName, walk, signedAt } = host;
      return { hostId, hostName, first: walk.first, last: walk.end.number, signedAt, problem: host.problem ?? endProblem(host) };
    });
    const names = this.#roots.map(rootNamesOf);
    return {
      fleetId: textOf(this.#header['fleetId']),
      createdAt: textOf(this.#header['createdAt']),
      rootSha256: names.map(({ certificate }) => certificate),
      rootKeySha256: names.map(({ key }) => key),
      hosts,
      isSound: hosts.every(({ problem }) => problem === null),
    };
  }

  #takeHead({ hostId, host }: { readonly hostId: string; readonly host: HostCheck }, line: Line): void {
    const envelope = decodeEnvelope(textOf(line['envelope']));
    const head = headSignedUnder(envelope, this.#roots);
    if (head.agentId !== hostId || head.fleetId !== this.#header['fleetId'])
      throw new NestError('AUDIT_BROKEN', 'The head is of another host or fleet.');
    if (head.number !== host.walk.end.number)
      throw new NestError(
        'AUDIT_BROKEN',
        `The head was signed for entry ${String(head.number)}, the export ends with entry ${String(host.walk.end.number)}.`,
        {
          details: { number: Math.min(head.number, host.walk.end.number) + 1 },
        },
      );
    if (!head.hash.equals(host.walk.end.hash))
      throw new NestError('AUDIT_BROKEN', `Entry ${String(head.number)} is not what was signed for.`, { details: { number: head.number } });
    if (lineOf(line) !== headLine({ hostId, name: host.hostName }, head, envelope))
      throw new NestError('AUDIT_BROKEN', 'The words of the head are not those of what was signed.', { details: { number: head.number } });
    host.signedAt = head.atMs;
  }
}

const takeEntry = ({ hostId, host }: { readonly hostId: string; readonly host: HostCheck }, line: Line): void => {
  const bytes = Buffer.from(textOf(line['bytes']), 'base64');
  const row = auditRowOf({ hostId, name: host.hostName }, bytes);
  if (host.signedAt !== null) throw new NestError('AUDIT_BROKEN', `Entry ${String(row.number)} comes after the head that ends the log.`);
  host.walk.take(bytes);
  if (lineOf(line) !== entryLine(row, bytes))
    throw new NestError('AUDIT_BROKEN', `The words of entry ${String(row.number)} are not those of its bytes.`, {
      details: { number: row.number },
    });
};

/** What only the end of the file can tell: a head that is missing, a beginning that nobody retired. */
const endProblem = ({ walk, signedAt }: HostCheck): ExportedHost['problem'] => {
  if (signedAt === null) return { number: walk.end.number + 1, message: 'The export of this host has no signed head: it was cut off.' };
  return walk.beginning();
};

const decodeEnvelope = (text: string): SignedEnvelope => {
  try {
    return SignedEnvelope.decode(Buffer.from(text, 'base64'));
  } catch (error) {
    throw new NestError('AUDIT_BROKEN', 'The signed head cannot be read.', { cause: error });
  }
};

const parseLine = (line: string, number: number): Line => {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Line;
  } catch (error) {
    throw notAnExport(number, error);
  }
  throw notAnExport(number);
};

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const notAnExport = (line: number, cause?: unknown): NestError =>
  new NestError('INPUT_INVALID', `Line ${String(line)} is not of an audit export. Make one with "nest audit export".`, { cause });
