import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../engine/api.ts';
import { localSourceWarning } from './local-source-warning.ts';

const policy = (fields: Record<string, unknown>): ReturnType<typeof parsePolicy> =>
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [],
    mappings: [{ name: 'out', sources: ['any'], destinations: ['any'], protocols: ['tcp'], action: 'allow', priority: 1, ...fields }],
  });

describe('the warning about packets with an address of this host', () => {
  it('names the mappings, the interfaces and the setting', async () => {
    const message = await localSourceWarning(policy({ sourceNat: 'masquerade' }), ['lan0', 'wan0'], async (name) =>
      name === 'wan0' ? '1\n' : '0\n',
    );
    expect(message).toContain('out give packets');
    expect(message).toContain('sysctl -w net.ipv4.conf.lan0.accept_local=1');
    expect(message).not.toContain('wan0');
  });

  it('is silent where nothing is translated, or the kernel accepts it', async () => {
    expect(await localSourceWarning(policy({}), ['lan0'], async () => '0')).toBe('');
    expect(await localSourceWarning(policy({ sourceNat: 'masquerade' }), ['lan0'], async (name) => (name === 'all' ? '1' : '0'))).toBe('');
    expect(await localSourceWarning(policy({ sourceNat: 'masquerade' }), ['gone0'], async (name) => (name === 'all' ? '0' : null))).toBe(
      '',
    );
  });
});
