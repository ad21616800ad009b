import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { ErrorInfo, Status } from '../../proto/gen/google/rpc/status.ts';
import { errorCodes, NestError } from '../../proto/model/error.ts';
import { detailsKey, toGrpcStatus, withNestDetails } from './grpc-status.ts';

const infoOf = (error: unknown): ErrorInfo => {
  const details = toGrpcStatus(error).metadata.get(detailsKey)[0];
  if (!(details instanceof Buffer)) throw new Error('no details');
  const any = Status.decode(details).details[0];
  if (any === undefined) throw new Error('no details');
  return ErrorInfo.decode(any.value);
};

describe('status of an error', () => {
  it('has a canonical code other than OK and UNKNOWN for every code', () => {
    for (const code of errorCodes) expect([Code.OK, Code.UNKNOWN]).not.toContain(toGrpcStatus(new NestError(code, 'x')).code);
  });

  it('carries texts flat and everything else as JSON', () => {
    const info = infoOf(new NestError('SCOPE_MISSING', 'x', { details: { scope: 'mappings:write', revision: 3, big: 2n ** 60n } }));
    expect(info).toEqual({
      reason: 'SCOPE_MISSING',
      domain: 'nest',
      metadata: { scope: 'mappings:write', details: '{"revision":3,"big":"1152921504606846976"}' },
    });
  });

  it('leaves out details that would burst the headers, never the reason', () => {
    expect(infoOf(new NestError('POLICY_INVALID', 'x', { details: { problems: 'y'.repeat(10_000) } }))).toEqual({
      reason: 'POLICY_INVALID',
      domain: 'nest',
      metadata: {},
    });
  });

  it('keeps a status that already has its code, and OK', () => {
    const status = toGrpcStatus(new NestError('PLAN_EXPIRED', 'x'));
    expect(withNestDetails(status)).toEqual({ status, code: 'PLAN_EXPIRED' });
    expect(withNestDetails({ code: Code.OK, details: 'OK' }).code).toBeNull();
  });
});
