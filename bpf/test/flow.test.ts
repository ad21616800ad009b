import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import type { Judge } from '../../native/test/support/data-path.ts';
import {
  addInterface,
  flowsOf,
  forgetRecords,
  judgeOn,
  openDataPath,
  recordKinds,
  removeInterface,
  waitForRecords,
} from '../../native/test/support/data-path.ts';
import { frame4, frame6, tcp, tcpFlag, udp } from '../../native/test/support/packets.ts';
import {
  client4,
  client6,
  closedPolicy,
  cutPolicy,
  mapping,
  openPolicy,
  server4,
  server6,
  webPolicy,
} from '../../native/test/support/policies.ts';

let dataPath: DataPath;
let judge: Judge;
let port = 20_000;

const load = async (image: Buffer): Promise<void> => {
  await dataPath.swap(image, dataPath.state().sequence + 1);
};
const forget = async (): Promise<void> => {
  await forgetRecords(dataPath);
};

beforeAll(async () => {
  addInterface('flow0');
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  await dataPath.attach('flow0');
  judge = judgeOn(dataPath, opened.pinPath, 'flow0');
});

afterAll(async () => {
  await dataPath.remove();
  removeInterface('flow0');
});

beforeEach(async () => {
  await load(webPolicy());
  port += 1;
});

const forward = (flags: number): Buffer =>
  frame4({ from: client4, to: server4, protocol: 6, payload: tcp({ from: port, to: 443, flags }) });
const backward = (flags: number): Buffer =>
  frame4({ from: server4, to: client4, protocol: 6, payload: tcp({ from: 443, to: port, flags }) });
const { syn, ack, fin, rst } = tcpFlag;
const flowOf = async (): Promise<unknown> => (await flowsOf(dataPath)).find((flow) => flow.sourcePort === port);
const web = { verdict: 'pass', mapping: mapping.allowWeb };

describe('a TCP flow', () => {
  it('begins with the first allowed packet and carries both directions', async () => {
    await forget();
    expect([judge.send(forward(syn)), judge.send(backward(syn | ack)), judge.send(forward(ack))]).toEqual([
      { ...web, reason: 'POLICY_ALLOW' },
      { ...web, reason: 'FLOW' },
      { ...web, reason: 'FLOW' },
    ]);
    expect(await flowOf()).toMatchObject({
      source: 'c612010a',
      destination: 'c6120214',
      destinationPort: 443,
      packets: [2n, 1n],
      bytes: [108n, 54n],
      mapping: mapping.allowWeb,
    });
    expect(await waitForRecords(dataPath, 1)).toMatchObject([
      { kind: recordKinds.start, reason: 'POLICY_ALLOW', sourcePort: port, packets: [1n, 0n], ageMs: 1 },
    ]);
  });

  it('keeps the initiator when its endpoint sorts last', async () => {
    const from = { from: '198.18.1.250', to: '198.18.2.1' };
    judge.send(frame4({ ...from, protocol: 6, payload: tcp({ from: 1, to: 443 }) }));
    const reply = judge.send(frame4({ from: from.to, to: from.from, protocol: 6, payload: tcp({ from: 443, to: 1, flags: syn | ack }) }));
    expect([reply.reason, (await flowsOf(dataPath)).find((flow) => flow.source === 'c61201fa')?.packets]).toEqual(['FLOW', [1n, 1n]]);
  });

  it('ends with a reset: one END record with the totals, and no entry', async () => {
    judge.send(forward(syn));
    judge.send(backward(syn | ack));
    await forget();
    judge.send(backward(rst));
    expect(await flowOf()).toBeUndefined();
    expect(await waitForRecords(dataPath, 1)).toMatchObject([
      { kind: recordKinds.end, source: 'c612010a', packets: [1n, 2n], bytes: [54n, 108n] },
    ]);
    expect(judge.send(backward(ack)).reason).toBe('DEFAULT_DENY');
  });

  it('closes when both sides finish: the last packets still pass, the end is recorded once', async () => {
    judge.send(forward(syn));
    judge.send(backward(syn | ack));
    await forget();
    expect([judge.send(forward(fin | ack)), judge.send(backward(fin | ack)), judge.send(forward(ack))].map(({ reason }) => reason)).toEqual(
      ['FLOW', 'FLOW', 'FLOW'],
    );
    expect(await waitForRecords(dataPath, 2)).toMatchObject([{ kind: recordKinds.end, packets: [2n, 2n] }]);
  });

  it('judges a first SYN on a closing flow as new', () => {
    judge.send(forward(syn));
    judge.send(backward(fin | ack));
    judge.send(forward(fin | ack));
    expect([judge.send(forward(syn)).reason, judge.send(backward(syn | ack)).reason]).toEqual(['POLICY_ALLOW', 'FLOW']);
  });

  it('refuses replies without a flow', () => {
    expect(judge.send(backward(syn | ack)).reason).toBe('DEFAULT_DENY');
  });

  it('does not begin with an allowed reset', async () => {
    expect([judge.send(forward(rst)).reason, await flowOf()]).toEqual(['POLICY_ALLOW', undefined]);
  });
});

describe('other flows', () => {
  it('carry UDP replies over IPv6', () => {
    const query = frame6({ from: client6, to: server6, next: 17, payload: udp({ from: port, to: 53 }) });
    const answer = frame6({ from: server6, to: client6, next: 17, payload: udp({ from: 53, to: port, payload: 60 }) });
    expect([judge.send(query).reason, judge.send(answer).reason]).toEqual(['POLICY_ALLOW', 'FLOW']);
  });
});

describe('a policy change', () => {
  it('keeps a flow it allows, under the new mapping', async () => {
    judge.send(forward(syn));
    await forget();
    await load(openPolicy());
    expect(judge.send(backward(syn | ack))).toEqual({ ...web, reason: 'FLOW' });
    expect([await flowOf(), await waitForRecords(dataPath, 1)]).toMatchObject([
      { sequence: dataPath.state().sequence, packets: [1n, 1n] },
      [],
    ]);
  });

  it('judges in the direction of the initiator, whoever sends first', async () => {
    judge.send(forward(syn));
    await load(closedPolicy());
    await forget();
    expect(judge.send(backward(ack))).toMatchObject({ verdict: 'drop', reason: 'DEFAULT_DENY' });
    expect(await waitForRecords(dataPath, 1)).toMatchObject([
      { kind: recordKinds.rejudged, reason: 'DEFAULT_DENY', source: 'c612010a', destinationPort: 443, packets: [1n, 0n] },
    ]);
    expect(await flowOf()).toBeUndefined();
  });

  it('cuts a connection for good: neither side revives it under default allow', async () => {
    judge.send(forward(syn));
    judge.send(backward(syn | ack));
    await load(cutPolicy());
    const tries = [
      judge.send(forward(ack)),
      judge.send(backward(ack)),
      judge.send(backward(ack)),
      judge.send(forward(ack)),
      judge.send(forward(syn)),
    ];
    expect(tries).toEqual(tries.map(() => ({ verdict: 'drop', reason: 'POLICY_DENY', mapping: 0 })));
  });

  it('gives a cut connection back when it is undone', async () => {
    judge.send(forward(syn));
    judge.send(backward(syn | ack));
    await load(cutPolicy());
    judge.send(forward(ack));
    await load(webPolicy());
    expect([judge.send(backward(ack)), await flowOf()]).toMatchObject([{ ...web, reason: 'FLOW' }, { packets: [1n, 2n] }]);
  });
});
