import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toErrorShape } from '../../proto/model/error.ts';
import { readInventory } from './inventory-file.ts';

const problemsOf = (text: string): unknown => {
  try {
    return readInventory(text);
  } catch (error) {
    const { code, details } = toErrorShape(error);
    return [code, ...(details['problems'] as { path: string; message: string }[]).map(({ path, message }) => `${path}: ${message}`)];
  }
};

describe('an inventory', () => {
  it('is read from CSV with columns in any order, quotes, comments and empty cells', () => {
    const text =
      'address,name,labels,host_name,port,fingerprint\r\n# racks\n192.0.2.1,edge-1,"site:ams1 role:edge",edge-1.example.net,,\n\n"2001:db8::2",edge-2,,,50052,' +
      'AB '.repeat(32) +
      '\n';
    expect(readInventory(text)).toEqual([
      { name: 'edge-1', address: '192.0.2.1', port: 50_051, labels: ['site:ams1', 'role:edge'], hostName: 'edge-1.example.net' },
      { name: 'edge-2', address: '2001:db8::2', port: 50_052, labels: [], fingerprint: 'ab'.repeat(32) },
    ]);
  });

  it('is read from JSON', () => {
    expect(readInventory('[{"name":"a","address":"192.0.2.1","cluster":"ams"}]')).toEqual([
      { name: 'a', address: '192.0.2.1', port: 50_051, labels: [], cluster: 'ams' },
    ]);
  });

  it('says all that is wrong with the line where it stands, and nothing is done', () => {
    expect(problemsOf('name,address,port\na,192.0.2.1,70000\na,192.0.2.2\nb,192.0.2.2\n,192.0.2.3\n')).toEqual([
      'INPUT_INVALID',
      'line 2 port: it must be at most 65535',
      'line 5 name: it is missing',
      'line 4: the address 192.0.2.2 port 50051 stands at line 3, too',
    ]);
    expect(problemsOf('name,adress\n')).toEqual(['INPUT_INVALID', expect.stringContaining('unknown columns adress')]);
    for (const nothing of ['', 'name,address\n', '[]'])
      expect(problemsOf(nothing)).toEqual(['INPUT_INVALID', expect.stringContaining('it has no hosts: write a header line')]);
    expect(problemsOf('name,address,port,labels,host_name\na,999.1.1.1,x,a=b=c,\n')).toEqual([
      'INPUT_INVALID',
      'line 2 address: An IP address or a host name, for instance 198.18.0.11.',
      'line 2 port: it must be a number',
      expect.stringMatching(/^line 2 labels, entry 1: “a=b=c” is no label/),
    ]);
    expect(problemsOf('name,address\n"a,192.0.2.1')).toEqual(['INPUT_INVALID', 'line 2: a quote is not closed']);
    expect(problemsOf('[{"name":"a","address":"x","colour":"red"}]')).toEqual(['INPUT_INVALID', 'entry 1: nobody knows "colour" here']);
    expect(problemsOf('x'.repeat(5 << 20))).toEqual(['INPUT_INVALID', expect.stringContaining('at most 4 MB')]);
  });

  it('takes any text or refuses it with a code', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', 'a', '1', '[', '{', ' ', '#'), maxLength: 200 }), (text) => {
        const result = problemsOf(`name,address\n${text}`);
        expect(Array.isArray(result)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
