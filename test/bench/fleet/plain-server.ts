/** A process with the stock gRPC library and no TLS: answers Hello and streams flow batches, on every address of 127.0.0.0/8. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import { once } from 'node:events';
import { FlowServiceService } from '../../../proto/gen/nest/v1/flow.ts';
import type { WatchFlowsRequest, WatchFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import { SessionServiceService } from '../../../proto/gen/nest/v1/session.ts';
import type { HelloRequest, HelloResponse } from '../../../proto/gen/nest/v1/session.ts';
import { toWireFlow } from '../../../agent/server/wire/flow-wire.ts';
import { createFlowSource } from '../../simulator/simulated-flows.ts';
import { systemClock } from '../../../agent/lib/clock.ts';
import { serveCalls } from './process-calls.ts';

const hello: handleUnaryCall<HelloRequest, HelloResponse> = (_call, respond) =>
  respond(null, { agentId: 'plain', fleetId: 'plain', agentVersion: 'plain', features: [], timeMs: BigInt(Date.now()), subject: '' });

const source = createFlowSource({ clock: systemClock, index: 1, flows: { perSecond: 0 } });

const watchFlows: handleServerStreamingCall<WatchFlowsRequest, WatchFlowsResponse> = (call) => {
  const stop = new AbortController();
  call.once('cancelled', () => stop.abort());
  const pump = async (): Promise<void> => {
    let sequence = 0n;
    for await (const { flows } of source.watchFlows({}, stop.signal)) {
      sequence += 1n;
      if (!call.write({ position: { sequence, lost: 0n }, flows: flows.map(toWireFlow) }) && !stop.signal.aborted)
        await Promise.race([once(call, 'drain'), once(stop.signal, 'abort')]);
    }
  };
  pump().catch((error: unknown) => call.destroy(error instanceof Error ? error : new Error(String(error))));
};

const listen = (): Promise<{ readonly port: number }> =>
  new Promise((resolve, reject) => {
    const server = new Server();
    server.addService({ hello: SessionServiceService.hello }, { hello });
    server.addService({ watchFlows: FlowServiceService.watchFlows }, { watchFlows });
    server.bindAsync('0.0.0.0:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve({ port }) : reject(error),
    );
  });

serveCalls({ listen });
