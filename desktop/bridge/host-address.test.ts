import { describe, expect, it } from 'vitest';
import { checkedInput } from './checked-input.ts';
import { hostAddressFault } from './host-address.ts';

describe('the address of a host', () => {
  it('is IPv4, IPv6 or a DNS name', () => {
    for (const address of ['198.18.0.11', '2001:db8::7', '::1', 'edge-1', 'edge-1.ams.example.net', 'localhost', 'x'.repeat(63)])
      expect([address, hostAddressFault(address)]).toEqual([address, null]);
    for (const address of [
      'not a host',
      '999.1.1.1',
      '1.2.3',
      '198.18.0.0/15',
      'edge:50051',
      '-edge',
      'a..b',
      '2001:db8:::7',
      'x'.repeat(64),
    ])
      expect([address, hostAddressFault(address)]).toEqual([address, expect.any(String)]);
  });

  it('is refused by the contract before a token is made', () => {
    expect(checkedInput('enrollment.begin', { name: 'edge-1', address: '999.1.1.1' })).toMatchObject({
      code: 'INPUT_INVALID',
      message: 'address: An IP address or a host name, for instance 198.18.0.11. Correct it, then try again.',
    });
    expect(checkedInput('enrollment.begin', { name: 'edge-1', address: '2001:db8::7' })).toEqual({
      name: 'edge-1',
      address: '2001:db8::7',
    });
  });
});
