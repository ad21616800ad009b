import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../native/image/api.ts';
import { nftablesOf } from './nftables.ts';

const mapping = {
  name: 'web',
  sources: ['any'],
  destinations: ['servers'],
  protocols: ['tcp', 'icmp'],
  action: 'allow',
  priority: 10,
};
const document = {
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [{ name: 'servers', addresses: ['198.18.0.0/24', '198.18.0.7', '2001:db8::/64'] }],
  mappings: [
    mapping,
    { ...mapping, name: 'late', sources: ['servers'], protocols: ['any'], ports: ['80-90,91', '85-100', '443'], priority: 5 },
    { ...mapping, name: 'no-web', protocols: ['tcp'], action: 'deny' },
  ],
  denyLists: [{ name: 'abuse', prefixes: ['198.19.0.0/16', '198.19.4.4'] }],
};
const options = { table: 't', link: 'eth7' };

describe('a policy in nftables', () => {
  it('judges by deny lists, then by rank, and by default; prefixes and ports overlap no more', () => {
    expect(nftablesOf(parsePolicy(document), options)).toBe(`table inet t {
  set deny4 { type ipv4_addr; flags interval; elements = { 198.19.0.0/16 } }
  set deny6 { type ipv6_addr; flags interval; }
  chain ipv4 {
    ip saddr @deny4 drop
    ip daddr @deny4 drop
    ip daddr { 198.18.0.0/24 } meta l4proto { tcp } counter drop
    ip daddr { 198.18.0.0/24 } meta l4proto { tcp, icmp } counter accept
    ip saddr { 198.18.0.0/24 } ip daddr { 198.18.0.0/24 } meta l4proto { tcp, udp } th dport { 80-100, 443 } counter accept
    drop
  }
  chain ipv6 {
    icmpv6 type 133-137 ip6 hoplimit 255 accept
    ip6 saddr @deny6 drop
    ip6 daddr @deny6 drop
    ip6 daddr { 2001:db8::/64 } meta l4proto { tcp } counter drop
    ip6 daddr { 2001:db8::/64 } meta l4proto { tcp, ipv6-icmp } counter accept
    ip6 saddr { 2001:db8::/64 } ip6 daddr { 2001:db8::/64 } meta l4proto { tcp, udp } th dport { 80-100, 443 } counter accept
    drop
  }
  chain in {
    type filter hook prerouting priority raw; policy accept;
    iifname != "eth7" accept
    meta nfproto vmap { ipv4 : goto ipv4, ipv6 : goto ipv6 }
  }
}
`);
  });

  it.each([
    { mappings: [{ ...mapping, protocols: ['tcp'], action: 'balance', backends: [{ name: 'a', address: '198.18.1.1', port: 1 }] }] },
    { mappings: [{ ...mapping, rateLimit: { packetsPerSecond: 1 } }] },
    { mappings: [{ ...mapping, sourceNat: 'masquerade' }] },
    { denyLists: [{ name: 'feed', file: 'feed.txt' }] },
    { denyLists: [{ name: 'soon', prefixes: ['198.18.0.1'], expires: '2030-01-31T18:00:00Z' }] },
  ])('refuses what hangs on more than the packet: %j', (part) => {
    expect(() => nftablesOf(parsePolicy({ ...document, ...part }), options)).toThrow(/hangs on more than the packet/);
  });
});
