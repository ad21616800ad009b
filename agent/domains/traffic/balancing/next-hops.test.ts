import { describe, expect, it } from 'vitest';
import { formatAddress, addressFromBytes, parsePolicy } from '../../../engine/api.ts';
import type { EngineNextHop, NextHopWanted, Policy } from '../../../engine/api.ts';
import { silentLogger } from '../../../lib/log.ts';
import { createNextHops, nextHopAims, nextHopsPerLook } from './next-hops.ts';

const backend = (number: number, state = 'up'): Record<string, unknown> => ({
  name: `web-${String(number)}`,
  address: `198.19.${String(number >> 8)}.${String(number & 255)}`,
  port: 80,
  state,
});
const policyOf = (mappings: readonly Record<string, unknown>[]): Policy =>
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [
      { name: 'clients', addresses: ['198.18.1.0/24', '198.18.2.7'] },
      { name: 'shop', addresses: ['198.19.200.1'] },
    ],
    mappings: mappings.map((mapping) => ({
      name: 'shop',
      sources: ['clients'],
      destinations: ['shop'],
      protocols: ['tcp'],
      ports: ['80'],
      priority: 100,
      action: 'balance',
      ...mapping,
    })),
  });
const shown = (policy: Policy): readonly string[] =>
  nextHopAims(policy).map(({ backend: name, wanted }) => {
    const address = addressFromBytes(wanted.address);
    return `${address === undefined ? '' : formatAddress(address)}${wanted.isGatewayOnly ? ' by gateway' : ''} ${name}`.trim();
  });

describe('next hops', () => {
  it('are those of backends that get packets without the kernel, not of others', () => {
    expect(
      shown(
        policyOf([
          {
            nat: 'dsr',
            ports: ['80'],
            backends: [backend(1), backend(2, 'drain'), backend(3, 'down')].map((each) => ({ ...each, port: undefined })),
          },
        ]),
      ),
    ).toEqual(['198.19.0.1 shop/web-1', '198.19.0.2 shop/web-2']);
    expect(shown(policyOf([{ nat: 'dnat', backends: [backend(1)] }]))).toEqual([]);
  });

  it('are those of both sides where packets get an address of this host', () => {
    expect(shown(policyOf([{ nat: 'full', backends: [backend(1)] }]))).toEqual([
      '198.19.0.1 shop/web-1',
      '198.18.1.0 by gateway',
      '198.18.2.7',
    ]);
    expect(shown(policyOf([{ action: 'allow', sourceNat: 'masquerade', destinations: ['any'] }]))).toEqual([
      '198.18.1.0 by gateway',
      '198.18.2.7',
      '192.0.2.1 by gateway',
      '2001:db8::1 by gateway',
    ]);
  });

  it('are asked for in parts, again and again, and told when nobody answers', async () => {
    const asked: number[] = [];
    let answer: EngineNextHop = 'asked';
    const warnings: (string | null)[] = [];
    const hops = createNextHops({ raise: (_code, warning) => void warnings.push(warning?.message ?? null), log: silentLogger });
    const engine = {
      askNextHops: async (wanted: readonly NextHopWanted[]): Promise<readonly EngineNextHop[]> => {
        asked.push(wanted.length);
        return wanted.map(() => answer);
      },
    };
    const many = policyOf([
      { nat: 'full', sources: ['any'], backends: Array.from({ length: nextHopsPerLook + 6 }, (_, index) => backend(index + 1)) },
    ]);
    for (let look = 0; look < 4; look++) await hops.look(many, engine);
    expect(asked).toEqual([nextHopsPerLook, 8, nextHopsPerLook, 8]);
    expect(warnings.at(-1)).toBeNull();
    const one = policyOf([{ nat: 'full', sources: ['any'], backends: [backend(1)] }]);
    for (let look = 0; look < 3; look++) await hops.look(one, engine);
    expect(warnings.at(-1)).toContain('shop/web-1');
    answer = 'known';
    await hops.look(one, engine);
    expect(warnings.at(-1)).toBeNull();
    await hops.look(undefined, engine);
  });

  it('that cannot be asked for leave the policy in force', async () => {
    const hops = createNextHops({ raise: () => undefined, log: silentLogger });
    await hops.look(policyOf([{ nat: 'full', backends: [backend(1)] }]), { askNextHops: async () => Promise.reject(new Error('no')) });
  });
});
