/** The peer: the stock gRPC library without TLS and with its own defaults, against a server that does as little as possible. */
import { Client, credentials } from '@grpc/grpc-js';
import { mapConcurrently } from '../../../desktop/lib/api.ts';
import { FlowServiceService } from '../../../proto/gen/nest/v1/flow.ts';
import type { WatchFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import { SessionServiceService } from '../../../proto/gen/nest/v1/session.ts';
import type { HelloRequest, HelloResponse } from '../../../proto/gen/nest/v1/session.ts';
import { flowBatchOf } from '../../../proto/model/flow-columns.ts';
import type { FlowBatch } from '../../../proto/model/flow-columns.ts';
import { latencyOf } from './console-measurements.ts';
import type { OrderHandlers } from './console-orders.ts';
import { residentBytes, startGauge } from './gauge.ts';
import { readBatches } from './stream-count.ts';

const connectsInFlight = 32;
const deadlineMs = 15_000;

/** Handlers without a stage: the server's port is all they need. */
export const plainMeasurements = (): Pick<OrderHandlers, 'plainConnect' | 'plainUnary' | 'plainFlows'> => ({
  plainConnect: async ({ port, channels }) => {
    const beforeBytes = residentBytes();
    const end = startGauge();
    const clients = await mapConcurrently(
      Array.from({ length: channels }, (_, number) => number),
      connectsInFlight,
      async (number) => {
        const client = open(port, number + 1);
        await hello(client);
        return client;
      },
    );
    const gauge = end();
    const afterBytes = residentBytes();
    for (const client of clients) client.close();
    return { ...gauge, resumed: 0, beforeBytes, afterBytes };
  },
  plainUnary: async ({ port, calls }) => {
    const client = open(port, 1);
    try {
      return await latencyOf(calls, () => hello(client));
    } finally {
      client.close();
    }
  },
  plainFlows: async ({ port, ms, hosts }) => {
    const clients = Array.from({ length: hosts }, (_, number) => open(port, number + 1));
    try {
      return await readBatches(
        clients.map((client) => (signal) => watchFlows(client, signal)),
        ms,
      );
    } finally {
      for (const client of clients) client.close();
    }
  },
});

const open = (port: number, number: number): Client =>
  new Client(`ipv4:127.20.${number >> 8}.${number & 255}:${port}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });

const hello = (client: Client): Promise<HelloResponse> =>
  new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = SessionServiceService.hello;
    const request: HelloRequest = { consoleVersion: 'bench', features: [], timeMs: 0n };
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline: Date.now() + deadlineMs },
      (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error ?? new Error('no answer'))),
    );
  });

async function* watchFlows(client: Client, signal: AbortSignal): AsyncGenerator<FlowBatch> {
  const { path, requestSerialize, responseDeserialize } = FlowServiceService.watchFlows;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { filter: undefined, columns: false });
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    for await (const batch of stream) yield flowBatchOf(batch as WatchFlowsResponse);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
