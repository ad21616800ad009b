/** The floor: Node's http2 over the same TLS against the same agents, with gRPC's framing by hand and nothing decoded. */
import { connect } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { HostRecord } from '../../../desktop/core/cache/fleet-cache.ts';
import { mapConcurrently } from '../../../desktop/lib/api.ts';
import { WatchFlowsRequest, WatchFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import { HelloRequest } from '../../../proto/gen/nest/v1/session.ts';
import { latencyOf } from './console-measurements.ts';
import type { OrderHandlers, StreamFigures } from './console-orders.ts';
import { residentBytes, startGauge } from './gauge.ts';
import type { Stage } from './stage.ts';

const connectsInFlight = 32;
const windowBytes = 4 << 20;
const frameHeadBytes = 5;
const helloPath = '/nest.v1.SessionService/Hello';
const flowsPath = '/nest.v1.FlowService/WatchFlows';
const hello = frame(HelloRequest.encode({ consoleVersion: 'bench', features: [], timeMs: 0n }).finish());
const watch = frame(WatchFlowsRequest.encode({ filter: undefined, columns: true }).finish());

/** Handlers over the stage; connections end with each order. */
export const rawMeasurements = (stage: Stage): Pick<OrderHandlers, 'rawConnect' | 'rawUnary' | 'rawFlows'> => {
  const contextOf = (): SecureContext => {
    const { keys } = stage.current;
    return createSecureContext({ ca: keys.root.certificate, cert: keys.operator.certificate, key: keys.operator.privateKey });
  };
  return {
    rawConnect: async () => {
      const secureContext = contextOf();
      const beforeBytes = residentBytes();
      const end = startGauge();
      const sessions = await mapConcurrently(stage.current.records, connectsInFlight, async (record) => {
        const session = open(record, secureContext);
        await unary(session);
        return session;
      });
      const gauge = end();
      const afterBytes = residentBytes();
      for (const session of sessions) session.destroy();
      return { ...gauge, resumed: 0, beforeBytes, afterBytes };
    },
    rawUnary: ({ calls }) => withSession(stage, contextOf(), (session) => latencyOf(calls, () => unary(session))),
    rawFlows: async ({ ms, hosts }) => {
      const secureContext = contextOf();
      const sessions = stage.current.records.slice(0, hosts).map((record) => open(record, secureContext));
      try {
        return await readBytes(sessions, ms);
      } finally {
        for (const session of sessions) session.destroy();
      }
    },
  };
};

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const open = ({ address, port, hostId }: HostRecord, secureContext: SecureContext): ClientHttp2Session => {
  const session = connect(`https://${address}:${port}`, {
    secureContext,
    servername: `${hostId.toLowerCase()}.agent.nest.internal`,
    checkServerIdentity: () => undefined,
    settings: { initialWindowSize: windowBytes },
  });
  session.once('connect', () => session.setLocalWindowSize(windowBytes));
  return session;
};

const headersOf = (path: string): Record<string, string> => ({
  ':method': 'POST',
  ':path': path,
  'content-type': 'application/grpc',
  te: 'trailers',
  'grpc-timeout': '15S',
});

const unary = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve, reject) => {
    const stream = session.request(headersOf(helloPath));
    let bytes = 0;
    session.once('error', reject);
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.once('error', reject);
    stream.once('end', () => {
      session.off('error', reject);
      if (bytes > 0) resolve();
      else reject(new Error('The agent answered nothing.'));
    });
    stream.end(hello);
  });

const withSession = async <T>(stage: Stage, context: SecureContext, work: (session: ClientHttp2Session) => Promise<T>): Promise<T> => {
  const [record] = stage.current.records;
  if (record === undefined) throw new Error('The fleet is empty.');
  const session = open(record, context);
  try {
    return await work(session);
  } finally {
    session.destroy();
  }
};

/** Flows by the size of a batch, since nothing is decoded but the first. */
const readBytes = async (sessions: readonly ClientHttp2Session[], ms: number): Promise<StreamFigures> => {
  let bytes = 0;
  let isCounting = false;
  const first = Promise.withResolvers<{ readonly flows: number; readonly bytes: number }>();
  for (const session of sessions) {
    const head: Buffer[] = [];
    let isSeen = false;
    session.once('error', first.reject);
    const stream = session.request({ ...headersOf(flowsPath), 'grpc-timeout': '600S' });
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      if (isCounting) bytes += chunk.length;
      if (isSeen) return;
      head.push(chunk);
      const start = Buffer.concat(head);
      const length = start.length >= frameHeadBytes ? start.readUInt32BE(1) : Infinity;
      if (start.length < frameHeadBytes + length) return;
      isSeen = true;
      const { columns } = WatchFlowsResponse.decode(start.subarray(frameHeadBytes, frameHeadBytes + length));
      first.resolve({ flows: columns?.count ?? 0, bytes: frameHeadBytes + length });
    });
    stream.end(watch);
  }
  const batch = await first.promise;
  await pause(ms / 2);
  isCounting = true;
  const end = startGauge();
  await pause(ms);
  isCounting = false;
  const { ms: countedMs, cpuMs } = end();
  const flows = (bytes / batch.bytes) * batch.flows;
  const seconds = countedMs / 1000;
  return { perSecond: flows / seconds, bytesPerSecond: bytes / seconds, cpuMicros: (cpuMs * 1000) / flows, lost: 0, unaccounted: 0 };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
