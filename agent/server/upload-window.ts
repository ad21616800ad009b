import type { Server } from '@grpc/grpc-js';
import type { Http2Server, ServerHttp2Session } from 'node:http2';

/** A 3 MB policy over a 35 ms path takes 2.8 s with HTTP/2's 64 KB window and 0.1 s with this one, bytes. */
export const uploadWindowBytes = 4 << 20;

/**
 * Widens the receive window of every new session of the server. The library reads its window option on the client
 * only; until it does on the server (grpc-node pull request 3058), the HTTP/2 servers behind it are reached through a
 * private map, and if that is gone uploads are slower, nothing else. Returns the way to stop.
 */
export const widenWindows = (server: Server): (() => void) => {
  const widen = (session: ServerHttp2Session): void => {
    session.settings({ initialWindowSize: uploadWindowBytes });
    session.setLocalWindowSize(uploadWindowBytes);
  };
  const http2Servers = privateServers(server);
  for (const http2Server of http2Servers) http2Server.on('session', widen);
  return () => {
    for (const http2Server of http2Servers) http2Server.off('session', widen);
  };
};

const privateServers = (server: Server): readonly Http2Server[] => {
  const map: unknown = Reflect.get(server, 'http2Servers');
  return map instanceof Map
    ? [...map.keys()].filter((key): key is Http2Server => typeof key === 'object' && key !== null && 'on' in key)
    : [];
};
