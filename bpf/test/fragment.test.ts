import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import { addInterface, judgeOn, openDataPath, removeInterface } from '../../native/test/support/data-path.ts';
import { fragmentHeader, frame4, frame6, tcp, udp } from '../../native/test/support/packets.ts';
import { client4, client6, mapping, server4, server6, webPolicy } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;
let identification = 100;

beforeAll(async () => {
  addInterface('fragment0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('fragment0');
  judge = judgeOn(dataPath, opened.pinPath, 'fragment0');
  await dataPath.swap(webPolicy(), 1);
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('fragment0');
});

const first4 = (to: number): Buffer =>
  frame4({ from: client4, to: server4, protocol: 17, payload: udp({ from: 5000, to, payload: 16 }), moreFragments: true, identification });
const later4 = (fragmentOffset = 3): Buffer =>
  frame4({ from: client4, to: server4, protocol: 17, payload: Buffer.alloc(24), fragmentOffset, identification });

describe('fragments', () => {
  it('follow their allowed first one, and count on its mapping', () => {
    identification += 1;
    expect([judge.send(first4(53)), judge.send(later4())]).toEqual([
      { verdict: 'pass', reason: 'POLICY_ALLOW', mapping: mapping.allowWeb },
      { verdict: 'pass', reason: 'FRAGMENT', mapping: mapping.allowWeb },
    ]);
  });

  it('follow a first one that belongs to a flow', () => {
    identification += 1;
    expect([judge.send(first4(53)).reason, judge.send(later4()).reason]).toEqual(['FLOW', 'FRAGMENT']);
  });

  it('are dropped when the first one was denied, even after an allowed datagram of that number', () => {
    expect([judge.send(first4(99)).reason, judge.send(later4())]).toEqual([
      'DEFAULT_DENY',
      { verdict: 'drop', reason: 'FRAGMENT_UNKNOWN', mapping: undefined },
    ]);
  });

  it('are dropped when the first one was never seen', () => {
    identification += 1;
    expect(judge.send(later4())).toMatchObject({ verdict: 'drop', reason: 'FRAGMENT_UNKNOWN' });
  });

  it('work over IPv6, with the next header of the fragment header', () => {
    const payload = udp({ from: 5001, to: 53, payload: 16 });
    const fragment = (offset: number, more: boolean): Buffer =>
      frame6({ from: client6, to: server6, next: 44, payload: fragmentHeader(17, payload, { offset, more, identification: 77 }) });
    expect([judge.send(fragment(4, false)).reason, judge.send(fragment(0, true)).reason, judge.send(fragment(4, false)).reason]).toEqual([
      'FRAGMENT_UNKNOWN',
      'POLICY_ALLOW',
      'FRAGMENT',
    ]);
  });

  it('may not be so small that the ports are missing', () => {
    expect(
      judge.send(frame4({ from: client4, to: server4, protocol: 6, payload: tcp({}).subarray(0, 8), moreFragments: true })),
    ).toMatchObject({ verdict: 'drop', reason: 'TRUNCATED' });
  });

  it('may not reach into the TCP header', () => {
    expect(judge.send(frame4({ from: client4, to: server4, protocol: 6, payload: Buffer.alloc(16), fragmentOffset: 1 }))).toMatchObject({
      verdict: 'drop',
      reason: 'MALFORMED',
    });
  });

  it('still follow when a new policy comes in between', async () => {
    identification += 1;
    judge.send(first4(53));
    await dataPath.swap(webPolicy(), 2);
    expect(judge.send(later4())).toEqual({ verdict: 'pass', reason: 'FRAGMENT', mapping: undefined });
  });
});
