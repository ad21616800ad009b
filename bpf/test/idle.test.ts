import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  decodeRecords,
  flowsOf,
  forgetRecords,
  judgeOn,
  openDataPath,
  packetTool,
  recordKinds,
  removeInterface,
  waitForRecords,
} from '../../native/test/support/data-path.ts';
import { frame4, frame6, icmp, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import { client4, client6, closedPolicy, server4, server6, webPolicy } from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;
let pin: string;
let port = 30_000;

beforeAll(async () => {
  addInterface('idle0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  pin = opened.pinPath;
  await dataPath.attach('idle0');
  judge = judgeOn(dataPath, pin, 'idle0');
  await dataPath.swap(webPolicy(), 1);
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('idle0');
});

beforeEach(() => {
  port += 1;
});

/** As if nothing had happened for so long. */
const age = (seconds: number): void => {
  execFileSync(packetTool, ['age', '--pin-path', pin, '--seconds', String(seconds)]);
};

const syn = (): Buffer => frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: port }) });
const forward = (flags: number): Buffer => frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: port, flags }) });
const backward = (flags: number): Buffer =>
  frame4({ from: server4, to: client4, protocol: 6, payload: tcp({ from: 443, to: port, flags }) });
const answer = (): Buffer => backward(tcpFlag.syn | tcpFlag.ack);
const query = (): Buffer => frame6({ from: client6, to: server6, next: 17, payload: udp({ from: port }) });
const ping = (): Buffer => frame4({ from: client4, to: server4, protocol: 1, payload: icmp(8, port) });

describe('an idle flow', () => {
  it.each([
    ['an unanswered TCP flow', 60, () => [syn()]],
    ['an established TCP flow', 7200, () => [syn(), answer()]],
    [
      'a TCP flow that both sides finished',
      10,
      () => [syn(), answer(), forward(tcpFlag.fin | tcpFlag.ack), backward(tcpFlag.fin | tcpFlag.ack)],
    ],
    ['a UDP flow', 60, () => [query()]],
    ['a ping', 30, () => [ping()]],
  ])('%s lives %i seconds after its last packet, no longer', (_, seconds, packets) => {
    const sent = packets();
    for (const packet of sent) judge.send(packet);
    const probe = sent[0]?.[23] === 6 ? forward(tcpFlag.ack) : (sent[0] ?? Buffer.alloc(14));
    age(seconds - 2);
    expect(judge.send(probe).reason).toBe('FLOW');
    age(seconds + 2);
    expect(judge.send(probe).reason).toBe('POLICY_ALLOW');
  });

  it('is reported ended when its successor begins', async () => {
    judge.send(syn());
    age(100);
    await forgetRecords(dataPath);
    judge.send(syn());
    expect(await waitForRecords(dataPath, 2)).toMatchObject([{ kind: recordKinds.end, packets: [1n, 0n] }, { kind: recordKinds.start }]);
  });

  it('is not listed any more', async () => {
    judge.send(syn());
    expect((await flowsOf(dataPath)).some(({ sourcePort }) => sourcePort === port)).toBe(true);
    age(100);
    expect((await flowsOf(dataPath)).some(({ sourcePort }) => sourcePort === port)).toBe(false);
  });
});

describe('the sweep', () => {
  it('removes idle flows and reports each end once, with its age', async () => {
    age(8000);
    await dataPath.sweep(100_000);
    judge.send(syn());
    judge.send(query());
    age(40);
    judge.send(ping());
    expect(decodeRecords(await dataPath.sweep(100))).toEqual([]);
    age(25);
    const ended = decodeRecords(await dataPath.sweep(100));
    expect(ended.map(({ kind, protocol, packets }) => ({ kind, protocol, packets }))).toEqual([
      { kind: recordKinds.end, protocol: 6, packets: [1n, 0n] },
      { kind: recordKinds.end, protocol: 17, packets: [1n, 0n] },
    ]);
    expect(decodeRecords(await dataPath.sweep(100))).toEqual([]);
    expect((await flowsOf(dataPath)).map(({ protocol }) => protocol)).toEqual([1]);
  });

  it('keeps to its limit', async () => {
    for (let index = 0; index < 5; index += 1) {
      port += 1;
      judge.send(syn());
    }
    age(100);
    const counts = [];
    for (let round = 0; round < 4; round += 1) counts.push(decodeRecords(await dataPath.sweep(2)).length);
    expect(counts).toEqual([2, 2, 2, 0]);
  });

  it('says nothing of flows whose end is known: finished ones and ones that a policy cut', async () => {
    for (const packet of [syn(), answer(), forward(tcpFlag.fin), backward(tcpFlag.fin)]) judge.send(packet);
    port += 1;
    judge.send(syn());
    await dataPath.swap(closedPolicy(), 2);
    judge.send(forward(tcpFlag.ack));
    age(8000);
    expect(decodeRecords(await dataPath.sweep(100))).toEqual([]);
    expect(await flowsOf(dataPath)).toEqual([]);
  });
});
