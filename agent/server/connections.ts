import type { TLSSocket } from 'node:tls';
import type { Caller } from '../control/identity/api.ts';

/** An admitted connection: what TLS has proven about its peer. */
export interface Connection {
  readonly socket: TLSSocket;
  /** End of the peer's certificate, milliseconds since the Unix epoch: the connection may outlive it. */
  readonly endsAtMs: number;
  /** Names the peer's certificate: issuer (distinguished name) and serial number (hex). */
  readonly issuer: string;
  readonly serial: string;
  /** The peer's certificate, DER. */
  readonly certificate: Buffer;
  /** SHA-256 of the peer's public key (SPKI). */
  readonly spkiHash: Buffer;
  /** SHA-256 of the peer's certificate. */
  readonly certificateHash: Buffer;
  /** Null while the agent has no fleet and cannot know callers. */
  readonly caller: Caller | null;
}

export interface Endpoints {
  readonly callerAddress: string;
  readonly callerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/** Admitted connections by their endpoints, which is what the gRPC library tells of a call. */
export interface Connections {
  readonly size: number;
  add(connection: Connection): void;
  /** Connections of one subject. */
  countOf(subject: string): number;
  find(endpoints: Endpoints): Connection | undefined;
  /** Those for which it says yes. */
  filter(isWanted: (connection: Connection) => boolean): readonly Connection[];
  /** Cuts those that `isOver` says are. */
  destroyOf(isOver: (connection: Connection) => boolean): void;
  destroyAll(): void;
}

/** An empty set; connections leave it when their socket closes. */
export const createConnections = (): Connections => {
  const connections = new Map<string, Connection>();
  return {
    get size() {
      return connections.size;
    },
    add: (connection) => {
      const endpoints = endpointsOf(connection.socket);
      if (endpoints === null) return;
      const name = nameOf(endpoints);
      connections.set(name, connection);
      connection.socket.once('close', () => {
        if (connections.get(name) === connection) connections.delete(name);
      });
    },
    countOf: (subject) => [...connections.values()].filter(({ caller }) => caller?.subject === subject).length,
    find: (endpoints) => connections.get(nameOf(endpoints)),
    filter: (isWanted) => [...connections.values()].filter(isWanted),
    destroyOf: (isOver) => {
      for (const connection of connections.values()) if (isOver(connection)) connection.socket.destroy();
    },
    destroyAll: () => {
      for (const { socket } of connections.values()) socket.destroy();
    },
  };
};

/** As sockets and calls tell it; nothing once they are closed. */
export interface SocketEnds {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** Both ends of a connection, IPv4 in IPv6 written as IPv4; null when it is closed already. */
export const endpointsOf = (info: SocketEnds): Endpoints | null => {
  const { remoteAddress, remotePort, localAddress, localPort } = info;
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined) return null;
  return { callerAddress: plainAddress(remoteAddress), callerPort: remotePort, localAddress: plainAddress(localAddress), localPort };
};

const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '').replace(/%.*$/, '');
const nameOf = ({ callerAddress, callerPort, localAddress, localPort }: Endpoints): string =>
  `${callerAddress} ${callerPort} ${localAddress} ${localPort}`;
