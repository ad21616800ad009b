import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../engine/api.ts';
import type { Policy } from '../../engine/api.ts';
import { mixedEnginesWarning } from './engine-mix.ts';

const policyOf = (parts: Record<string, unknown> = {}): Policy =>
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24'] },
      { name: 'shop', addresses: ['198.19.1.100'] },
    ],
    mappings: [],
    ...parts,
  });
const mapping = (parts: Record<string, unknown>): Record<string, unknown> => ({
  name: 'shop',
  sources: ['clients'],
  destinations: ['shop'],
  protocols: ['tcp'],
  ports: ['80'],
  priority: 100,
  ...parts,
});
const mixed = [
  { name: 'lan0', engine: 'af_xdp' },
  { name: 'wan0', engine: 'xdp-native' },
];

describe('engines that do not share flows', () => {
  it.each([
    ['default deny', policyOf({ defaultAction: 'deny' }), 'because of default deny.'],
    [
      'balancing',
      policyOf({ mappings: [mapping({ action: 'balance', backends: [{ name: 'web-1', address: '198.19.1.21', port: 80 }] })] }),
      'balancing (shop)',
    ],
    ['translated sources', policyOf({ mappings: [mapping({ action: 'allow', sourceNat: 'masquerade' })] }), 'NAT (shop)'],
  ])('are told with %s, with the interfaces and the next step', (_what, policy, because) => {
    const warning = mixedEnginesWarning(mixed, policy);
    expect(warning).toContain('lan0 by af_xdp, wan0 by xdp');
    expect(warning).toContain(because);
    expect(warning).toContain('Put these interfaces on the same engine.');
  });

  it('are no trouble without such a policy, on one engine, or where nothing is enforced', () => {
    const policy = policyOf({ defaultAction: 'deny' });
    expect(mixedEnginesWarning(mixed, undefined)).toBe('');
    expect(mixedEnginesWarning(mixed, policyOf({ mappings: [mapping({ action: 'deny' })] }))).toBe('');
    expect(
      mixedEnginesWarning(
        [
          { name: 'lan0', engine: 'xdp-generic' },
          { name: 'wan0', engine: 'xdp-native' },
        ],
        policy,
      ),
    ).toBe('');
    expect(
      mixedEnginesWarning(
        [
          { name: 'lan0', engine: 'af_xdp' },
          { name: 'wan0', engine: '' },
        ],
        policy,
      ),
    ).toBe('');
    expect(
      mixedEnginesWarning(
        [
          { name: 'lan0', engine: 'af_xdp' },
          { name: 'wan0', engine: 'dpdk' },
        ],
        policy,
      ),
    ).not.toBe('');
  });
});
