/** Opens gRPC channels to agents with the options the console wants. */
import { Client, connectivityState } from '@grpc/grpc-js';
import { isIPv4, isIPv6 } from 'node:net';
import { messageBytesMax } from '../../proto/model/limits.ts';
import { AgentCredentials } from './agent-credentials.ts';
import type { CredentialOptions } from './agent-credentials.ts';
import { createGrpcWire } from './wire.ts';
import type { Wire } from './wire.ts';
import { bulkWindowBytes, keepaliveTimeMs, keepaliveTimeoutMs, reconnectLimits, statusWindowBytes } from './wire-limits.ts';

export interface Endpoint {
  /** IPv4, IPv6 or a DNS name. */
  readonly address: string;
  readonly port: number;
}

export interface Channel extends Wire {
  readonly isResumed: () => boolean;
  /** Connects; resolves when that has succeeded or failed, the time is over (milliseconds) or the signal aborts. The next call tells which. */
  settled(timeoutMs: number, signal: AbortSignal): Promise<void>;
  readonly isSettled: () => boolean;
  /** The same way with the token of a session on every call. */
  withToken(token: () => string): Wire;
  close(): void;
}

/** A channel for statuses and calls that connects at its first call. Addresses skip DNS. */
export const openChannel = (endpoint: Endpoint, options: CredentialOptions): Channel => open(endpoint, options, statusWindowBytes);

/** The same for long answers, with a wider window. */
export const openBulkChannel = (endpoint: Endpoint, options: CredentialOptions): Channel => open(endpoint, options, bulkWindowBytes);

const open = (endpoint: Endpoint, options: CredentialOptions, windowBytes: number): Channel => {
  const credentials = new AgentCredentials(options);
  const client = new Client(targetOf(endpoint), credentials, {
    'grpc.ssl_target_name_override': options.serverName,
    'grpc.default_authority': options.serverName,
    'grpc.keepalive_time_ms': keepaliveTimeMs,
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc-node.flow_control_window': windowBytes,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_channelz': 0,
    // Agents are reached directly, whatever proxies the environment names.
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': reconnectLimits.firstMs,
    'grpc.max_reconnect_backoff_ms': reconnectLimits.maxMs,
  });
  return {
    ...createGrpcWire(client, () => credentials.failure),
    withToken: (token) => createGrpcWire(client, () => credentials.failure, token),
    isResumed: () => credentials.isResumed,
    settled: (timeoutMs, signal) => connectionSettled(client, timeoutMs, signal),
    isSettled: () => settledStates.includes(client.getChannel().getConnectivityState(false)),
    close: () => {
      client.close();
      credentials.close();
    },
  };
};

const settledStates: readonly connectivityState[] = [
  connectivityState.READY,
  connectivityState.TRANSIENT_FAILURE,
  connectivityState.SHUTDOWN,
];

const connectionSettled = (client: Client, timeoutMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const channel = client.getChannel();
    const deadline = Date.now() + timeoutMs;
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (signal.aborted || settledStates.includes(state)) done();
      else channel.watchConnectivityState(state, deadline, (error) => (error === undefined ? look() : done()));
    };
    signal.addEventListener('abort', done, { once: true });
    look();
  });

const targetOf = ({ address, port }: Endpoint): string => {
  if (isIPv4(address)) return `ipv4:${address}:${String(port)}`;
  if (isIPv6(address)) return `ipv6:[${address}]:${String(port)}`;
  return `dns:${address}:${String(port)}`;
};
