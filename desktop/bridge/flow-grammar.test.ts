import { describe, expect, it } from 'vitest';
import { contract } from './contract.ts';
import { flowKeys, flowTermOf, parseFlowQuery, suggestFlowTerms, withFlowTerm } from './flow-grammar.ts';

const names = { mappings: ['web', 'web-admin', 'payments-db'], interfaces: ['wan0', 'lan0'] };

describe('the flow filter', () => {
  it('reads every key, and what it reads the contract takes', () => {
    const text =
      'src:198.18.0.0/16 dst:2001:db8::1 198.18.9.9 port:443 proto:tcp mapping:web verdict:denied state:cut reason:rate-limit if:wan0 last:5m';
    const { query, problems } = parseFlowQuery(text);
    expect(problems).toEqual([]);
    expect(query).toEqual({
      source: '198.18.0.0/16',
      destination: '2001:db8::1',
      address: '198.18.9.9',
      port: 443,
      protocol: 6,
      mapping: 'web',
      verdict: 'denied',
      state: 'cut',
      reason: 'RATE_LIMIT',
      interface: 'wan0',
      windowSeconds: 300,
    });
    expect(contract['host.flows'].input.safeParse({ hostId: '01J00000000000000000000000', ...query }).success).toBe(true);
  });

  it('takes a bare address or CIDR for either side and a bare number for a port', () => {
    expect(parseFlowQuery('443 2001:db8::/32')).toMatchObject({ query: { port: 443, address: '2001:db8::/32' }, problems: [] });
    expect(parseFlowQuery('fe80::1').query).toEqual({ address: 'fe80::1' });
    expect(parseFlowQuery('  ')).toEqual({ query: {}, terms: [], problems: [] });
  });

  it('reads each example it gives', () => {
    for (const { example } of Object.values(flowKeys)) expect(parseFlowQuery(example).problems, example).toEqual([]);
  });

  it('says what is wrong and where, and keeps the rest', () => {
    const { query, problems } = parseFlowQuery('port:70000 verdict:denied src:198.18.4.7/16 colour:red web last:2h proto:');
    expect(query).toEqual({ verdict: 'denied' });
    expect(problems).toEqual([
      { start: 0, end: 10, message: '“70000” is no port: write 1 to 65535.' },
      { start: 26, end: 43, message: '198.18.4.7/16 has bits behind its length: write 198.18.0.0/16.' },
      { start: 44, end: 54, message: expect.stringContaining('There is no “colour:”: write src:, dst:') },
      { start: 55, end: 58, message: '“web” is no address and no port: write for instance mapping:web.' },
      { start: 59, end: 66, message: '“2h” is no time: write 30s, 5m or at most 1h.' },
      { start: 67, end: 73, message: 'Write what proto: shall be, for instance proto:tcp.' },
    ]);
  });

  it('refuses the same thing twice', () => {
    expect(parseFlowQuery('port:443 8443').problems).toEqual([
      { start: 9, end: 13, message: '“8443” is said twice: keep one of the two.' },
    ]);
  });

  it('guesses the reason that was meant', () => {
    expect(parseFlowQuery('reason:limit').problems[0]?.message).toBe('There is no reason “limit”: did you mean rate-limit?');
  });

  it('sets and takes away one term and leaves the others as typed', () => {
    expect(withFlowTerm('198.18.4.7  port:443', 'verdict', 'denied')).toBe('198.18.4.7 port:443 verdict:denied');
    expect(withFlowTerm('verdict:denied port:443', 'verdict', 'allowed')).toBe('port:443 verdict:allowed');
    expect(withFlowTerm('verdict:denied port:443', 'verdict', null)).toBe('port:443');
    expect([flowTermOf('last:5m', 'last'), flowTermOf('last:5m', 'port')]).toEqual(['5m', '']);
  });

  it('suggests keys, then the values of the key at the cursor', () => {
    expect(suggestFlowTerms('', 0, names).options.map(({ text }) => text)).toContain('src:');
    expect(suggestFlowTerms('port:443 ve', 11, names)).toMatchObject({ start: 9, end: 11, options: [{ text: 'verdict:' }] });
    expect(suggestFlowTerms('mapping:web', 11, names).options).toEqual([{ text: 'mapping:web-admin', about: '' }]);
    expect(suggestFlowTerms('if: port:1', 3, names).options.map(({ text }) => text)).toEqual(['if:wan0', 'if:lan0']);
    expect(suggestFlowTerms('verdict:d', 9, names).options.map(({ text }) => text)).toEqual(['verdict:denied', 'verdict:allowed']);
    expect(suggestFlowTerms('port:4', 6, names).options).toEqual([]);
  });
});
