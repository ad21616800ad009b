/** Every changing or refused call leaves an entry in the audit log; what is dangerous leaves one before it begins. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { hash } from 'node:crypto';
import type { RpcAccess } from '../../proto/gen/access.ts';
import { emptyFact } from '../../proto/model/audit.ts';
import { NestError } from '../../proto/model/error.ts';
import type { NestErrorCode } from '../../proto/model/error.ts';
import type { AuditControl, AuditFact } from '../control/audit/api.ts';

export interface AuditedCall {
  readonly path: string;
  /** Null: the rpc is not known. */
  readonly access: RpcAccess | null;
  /** Subject of the caller's certificate; empty when there is none. */
  readonly subject: string;
  /** SHA-256 of the caller's public key, hex. */
  readonly device: string;
  readonly source: string;
  /** What is known of the target before a request came. */
  readonly target?: string;
}

/** What is written about one call. Null = nothing to wait for. */
export interface CallRecord {
  /** By what right besides roles: said with every entry of the call. */
  under(right: string): void;
  /** A request is about to reach the handler. Raises AUDIT_FAILED: then it must not. */
  received(request: unknown): Promise<void> | null;
  /**
   * The call is over. Raises AUDIT_FAILED: then the caller must be told that instead. With `isCut` its caller lost his rights while it ran:
   * that has its effect whatever can be written, so nothing is waited for, and what could not be written is kept until it can be.
   */
  finished(outcome: string, isCut?: boolean): Promise<void> | null;
}

export interface CallAudit {
  begin(call: AuditedCall): CallRecord;
  /** The definition with the bytes of requests remembered as they arrive, for their hash. */
  remembering(definition: ServiceDefinition): ServiceDefinition;
}

export interface CallAuditOptions {
  readonly audit: Pick<AuditControl, 'append' | 'refused' | 'note'>;
  /** Revision of the policy in force. */
  readonly revision: () => number;
}

/** Codes that refuse who called or what was sent, also on calls that only read. */
const refusalCodes: ReadonlySet<string> = new Set<NestErrorCode>([
  'ACCESS_FORKED',
  'ACCESS_INVALID',
  'ACCESS_STALE',
  'ALREADY_ENROLLED',
  'CERTIFICATE_INVALID',
  'CERTIFICATE_MISSING',
  'CLOCK_SKEWED',
  'DEADLINE_MISSING',
  'ENROLLMENT_CLOSED',
  'FLEET_MISMATCH',
  'IDENTITY_MISMATCH',
  'INPUT_INVALID',
  'LIMIT_REACHED',
  'MESSAGE_TOO_LARGE',
  'METHOD_UNKNOWN',
  'MFA_REQUIRED',
  'MFA_WRONG',
  'PROOF_INVALID',
  'REVOKED',
  'SCOPE_MISSING',
  'SESSION_INVALID',
  'TOKEN_EXPIRED',
  'TOKEN_INVALID',
  'TOKEN_USED',
]);

/** Fields of requests that say what a call is about. Others may be secret or long. */
const targetFields = [
  'name',
  'interface',
  'engine',
  'revision',
  'baseRevision',
  'toRevision',
  'planHash',
  'transactionId',
  'rolloutId',
  'intentId',
  'mapping',
  'factorId',
  'subject',
  'comment',
] as const;
const targetValueMax = 128;

/** One per server. */
export const createCallAudit = ({ audit, revision }: CallAuditOptions): CallAudit => {
  /** The bytes of requests. Of most nobody asks for the hash: a call that reads leaves an entry only when it is refused. */
  const bytesOf = new WeakMap<object, Buffer>();
  const withRequest = (fact: AuditFact, request: unknown): AuditFact => {
    const bytes = typeof request === 'object' && request !== null ? bytesOf.get(request) : undefined;
    const requestHash = bytes === undefined ? fact.requestHash : hash('sha256', bytes, 'buffer');
    return { ...fact, target: targetOf(request), requestHash };
  };
  return {
    begin: (call) => {
      const isChange = changes(call.access);
      const revisionBefore = isChange ? revision() : null;
      let fact = factOf(call, revisionBefore);
      let received: { readonly request: unknown } | null = null;
      return {
        under: (right) => {
          fact = { ...fact, detail: right };
        },
        received: (request) => {
          if (received !== null) return null;
          received = { request };
          if (!isChange) return null;
          fact = withRequest(fact, request);
          if (call.access?.dangerous !== true) return null;
          return audit.append({ ...fact, result: 'started' }, { durable: true }).then((opening) => {
            fact = { ...fact, opening };
          });
        },
        finished: (outcome, isCut = false) => {
          // A dangerous call whose first entry failed has touched nothing: that entry would fail, too.
          if (outcome === 'AUDIT_FAILED') return null;
          const end = { result: outcome, revisionAfter: isChange ? revision() : null };
          if (isChange && received !== null) return appendEnd(audit, { ...fact, ...end });
          // A request that never came whole has held a place of this host until its time was over.
          const isRefused = refusalCodes.has(outcome) || (outcome === 'TIMED_OUT' && received === null);
          if (!isRefused) return null;
          const ended = { ...(received === null ? fact : withRequest(fact, received.request)), ...end };
          const written = audit.refused(ended);
          if (!isCut) return written;
          void written.catch(() => audit.note(ended));
          return null;
        },
      };
    },
    remembering: (definition) =>
      Object.fromEntries(
        Object.entries(definition).map(([name, method]) => [
          name,
          {
            ...method,
            requestDeserialize: (bytes: Buffer) => {
              const request: unknown = method.requestDeserialize(bytes);
              if (typeof request === 'object' && request !== null) bytesOf.set(request, bytes);
              return request;
            },
          },
        ]),
      ),
  };
};

/** What was done cannot be undone here: its entry is kept until it can be written, and the caller learns that something is wrong. */
const appendEnd = async (audit: CallAuditOptions['audit'], fact: AuditFact): Promise<void> => {
  try {
    await audit.append(fact);
  } catch (error) {
    audit.note({ ...fact, detail: fact.detail === '' ? 'written late' : `${fact.detail}, written late` });
    throw new NestError(
      'AUDIT_FAILED',
      `The call ended with ${fact.result}, but its audit entry could not be written yet. Look at the state of the host before you repeat it, and at the disk of its state directory.`,
      { cause: error },
    );
  }
};

const changes = (access: RpcAccess | null): boolean =>
  access !== null && (access.dangerous || access.scope.endsWith(':write') || access.scope.endsWith(':admin'));

const factOf = ({ path, subject, device, source, target = '' }: AuditedCall, revisionBefore: number | null): AuditFact => ({
  ...emptyFact,
  actor: subject,
  device,
  source,
  action: path,
  target,
  revisionBefore,
});

/** "name=feed engine=xdp"; empty values are left out. */
const targetOf = (request: unknown): string => {
  if (typeof request !== 'object' || request === null) return '';
  const fields = request as Readonly<Record<string, unknown>>;
  return targetFields
    .flatMap((field) => {
      const value = fields[field];
      const isSaid =
        (typeof value === 'string' && value !== '') || typeof value === 'number' || (typeof value === 'bigint' && value !== 0n);
      return isSaid ? [`${field}=${String(value).slice(0, targetValueMax)}`] : [];
    })
    .join(' ');
};
