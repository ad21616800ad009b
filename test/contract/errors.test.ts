import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NestError, errorCodeOf, errorCodes, toErrorShape } from '../../proto/model/error.ts';
import { checkErrorDocs, errorCodesOf } from '../../build/check/rules.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('error codes', () => {
  it('are the same list in the proto file, in code and in docs/ERRORS.md', () => {
    const proto = errorCodesOf(read('proto/nest/v1/error.proto'));
    expect(proto.length).toBeGreaterThan(40);
    expect([...errorCodes]).toEqual(proto);
    expect(checkErrorDocs(proto, read('docs/ERRORS.md'))).toEqual([]);
  });

  it('cross a border as plain data, without internals', () => {
    expect(toErrorShape(new NestError('NOT_FOUND', 'No such host.', { details: { host: 'x' }, cause: new Error('secret') }))).toEqual({
      code: 'NOT_FOUND',
      message: 'No such host.',
      details: { host: 'x' },
    });
    const shape = toErrorShape(new Error('password=hunter2'));
    expect(shape.code).toBe('INTERNAL');
    expect(JSON.stringify(shape)).not.toContain('hunter2');
    expect(errorCodeOf(new DOMException('aborted', 'AbortError'))).toBe('CANCELLED');
  });
});
