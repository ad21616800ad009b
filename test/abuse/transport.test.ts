/** Abuse of the transport by somebody who holds a good certificate: the agent stays up, answers with codes and tells nothing of its inside. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { ClientHttp2Session } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rpcAccess } from '../../proto/gen/access.ts';
import { ApplyConfigRequest, PlanConfigRequest } from '../../proto/gen/nest/v1/config.ts';
import { WatchFlowsRequest } from '../../proto/gen/nest/v1/flow.ts';
import { HelloRequest } from '../../proto/gen/nest/v1/session.ts';
import { messageBytesMax } from '../../proto/model/limits.ts';
import { mapConcurrently } from '../../desktop/lib/api.ts';
import { Simulator } from '../simulator/simulator.ts';
import { callRaw, frameOf, openSession, openTls } from './raw-agent.ts';
import type { Verdict } from './raw-agent.ts';
import { createFuzz } from './fuzz.ts';
import { auditedOnDisk, inside } from './refusals.ts';

const helloPath = '/nest.v1.SessionService/Hello';
const hello = Buffer.from(HelloRequest.encode({ consoleVersion: 'abuse', features: ['plan'], timeMs: 1n }).finish());
/** The library itself answers these, with the status of gRPC and nothing else, before any handler or guard. */
const unknownPaths = ['/nest.v1.HostService/NoSuchCall', '/no.such.Service/Call'];
const paths = [...Object.keys(rpcAccess), ...unknownPaths, '/grpc.health.v1.Health/Check'];
const unimplemented = 12;
const randomMessages = 4000;
const mutatedMessages = 4000;
const framedConnections = 200;
const framesPerConnection = 10;
const callsAtOnce = 16;

describe.skipIf(process.platform !== 'linux')('abuse of the transport', { timeout: 180_000 }, () => {
  let simulator: Simulator;
  let session: ClientHttp2Session;
  const sources = { next: 0 };
  /** Another source address for each connection: the limit of handshakes a second is not what is tried here. */
  const source = (): string => {
    sources.next += 1;
    return `127.9.${sources.next >> 8}.${sources.next & 255}`;
  };

  beforeAll(async () => {
    simulator = await Simulator.up({ agents: 1 });
    session = openSession(simulator, source());
    expect(await callRaw(session, { path: helloPath, body: frameOf(hello) })).toMatchObject({ status: 0 });
  }, 60_000);
  afterAll(async () => {
    session.destroy();
    await simulator[Symbol.asyncDispose]();
  });

  const expectServed = async (): Promise<void> => {
    const fresh = openSession(simulator, source());
    try {
      expect(await callRaw(fresh, { path: helloPath, body: frameOf(hello) })).toMatchObject({ status: 0 });
    } finally {
      fresh.destroy();
    }
  };

  const expectCoded = (verdicts: readonly Verdict[]): void => {
    const uncoded = verdicts.filter(({ status, code }) => status === null || (status !== 0 && status !== unimplemented && code === ''));
    expect(uncoded.slice(0, 3)).toEqual([]);
    const telling = verdicts.filter(({ message }) => inside.test(message));
    expect(telling.slice(0, 3)).toEqual([]);
  };

  const audited = async (code: string): Promise<void> => {
    const [agent] = simulator.agents;
    await auditedOnDisk(agent?.stateDir ?? '', ({ result }) => result === code);
  };

  const expectBounded = async (beforeBytes: number): Promise<void> => {
    const { residentBytes } = await simulator.measure();
    expect(residentBytes - beforeBytes).toBeLessThan(256 << 20);
  };

  it('answers 4,000 random and 4,000 mutated messages with codes', async () => {
    const fuzz = createFuzz(20_261_121);
    const before = (await simulator.measure()).residentBytes;
    const seeds = [
      hello,
      Buffer.from(PlanConfigRequest.encode({ baseRevision: 0n, policyJson: '{"kind":"Policy"}', flowWindowMinutes: 5 }).finish()),
      Buffer.from(
        ApplyConfigRequest.encode({
          planHash: 'ab'.repeat(32),
          transactionId: 'abcdefgh',
          confirmWithinSeconds: 60,
          comment: '',
          policyJson: '{}',
          rolloutId: '',
          rolloutTerm: 0n,
          withoutDocument: false,
          policySha256: Buffer.alloc(0),
        }).finish(),
      ),
      Buffer.from(WatchFlowsRequest.encode({ filter: undefined, columns: false }).finish()),
    ];
    const bodies = [
      ...Array.from({ length: randomMessages }, () => fuzz.framed(fuzz.bytes(600))),
      ...Array.from({ length: mutatedMessages }, () => fuzz.framed(fuzz.mutated(fuzz.pick(seeds)))),
    ];
    const verdicts = await mapConcurrently(bodies, callsAtOnce, (body) => callRaw(session, { path: fuzz.pick(paths), body }));
    expectCoded(verdicts.map((verdict, number) => ({ ...verdict, body: bodies[number]?.toString('hex') })));
    expect(verdicts.filter(({ status }) => status !== 0).length).toBeGreaterThan(bodies.length / 4);
    await audited('INPUT_INVALID');
    await expectServed();
    await expectBounded(before);
  });

  it('outlives 2,000 malformed HTTP/2 frames on 200 connections', async () => {
    const fuzz = createFuzz(7);
    const before = (await simulator.measure()).residentBytes;
    await mapConcurrently(
      Array.from({ length: framedConnections }, () => source()),
      callsAtOnce / 2,
      async (from) => {
        const socket = openTls(simulator, from);
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        await new Promise<void>((resolve) => {
          socket.once('secureConnect', resolve);
          socket.once('close', () => resolve());
        });
        if (!socket.destroyed)
          socket.write(Buffer.concat([fuzz.preface(), ...Array.from({ length: framesPerConnection }, () => fuzz.http2Frame())]));
        await Promise.race([closed, sleep(100)]);
        socket.destroy();
        await closed;
      },
    );
    await expectServed();
    await expectBounded(before);
  });

  it('refuses a message over the limit, by its announced and by its real size', async () => {
    const announced = await callRaw(session, { path: helloPath, body: frameOf(hello, { length: messageBytesMax + 1 }), isEnded: false });
    expect(announced).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    const real = await callRaw(session, { path: helloPath, body: frameOf(Buffer.alloc(messageBytesMax + 1024)) });
    expect(real).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    await audited('MESSAGE_TOO_LARGE');
    await expectServed();
  });

  it('ends a request that drips, with a code, while others are served', async () => {
    const half = frameOf(hello, { length: hello.length + 100 });
    const dripping = Array.from({ length: 32 }, () => callRaw(session, { path: helloPath, body: half, isEnded: false, timeout: '2S' }));
    await expectServed();
    for (const verdict of await Promise.all(dripping)) expect(verdict).toMatchObject({ status: 4, code: 'TIMED_OUT' });
    await audited('TIMED_OUT');
  });

  it('drops connections that never finish TLS, and serves others meanwhile', async () => {
    const [agent] = simulator.agents;
    if (agent === undefined) throw new Error('There is no agent.');
    const silent: Socket[] = Array.from({ length: 200 }, () => {
      const socket = connect({ host: agent.address, port: agent.port, localAddress: source() });
      socket.on('error', () => undefined);
      return socket;
    });
    const closed = silent.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    await expectServed();
    // The agent gives a handshake ten seconds.
    await Promise.all(closed);
    await audited('HANDSHAKE_FAILED');
    await expectServed();
  });

  it('refuses the 65th stream of a connection and the 17th connection of one operator', async () => {
    const crowded = openSession(simulator, source());
    await callRaw(crowded, { path: helloPath, body: frameOf(hello) });
    const half = frameOf(hello, { length: hello.length + 1 });
    const waiting = Array.from({ length: 64 }, () => callRaw(crowded, { path: helloPath, body: half, isEnded: false, timeout: '3S' }));
    expect(crowded.remoteSettings.maxConcurrentStreams).toBe(64);
    expect((await Promise.all(waiting)).every(({ code }) => code === 'TIMED_OUT')).toBe(true);
    const more = Array.from({ length: 18 }, () => openSession(simulator, source()));
    const verdicts = await Promise.all(more.map((one) => callRaw(one, { path: helloPath, body: frameOf(hello) })));
    expect(verdicts.filter(({ code }) => code === 'LIMIT_REACHED').length).toBeGreaterThanOrEqual(4);
    expect(verdicts.filter(({ status }) => status === 0).length).toBeGreaterThan(0);
    await audited('LIMIT_REACHED');
    for (const one of [crowded, ...more]) one.destroy();
    await sleep(200);
    await expectServed();
  });
});
