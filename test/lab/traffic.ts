/**
 * Steady traffic from the client side: HTTP requests on fresh connections and UDP datagrams that are echoed, over both
 * address families and the VLAN. The rate is bounded: a request is only sent when its predecessor ended or timed out.
 * Runs in nest-client until it is ended; a denied request is no error here.
 */
import { createSocket } from 'node:dgram';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { labHosts, serverPorts, vlanClient4 } from './topology.ts';

const httpIntervalMs = 150;
const datagramIntervalMs = 50;
const requestTimeoutMs = 1000;

const request = (address: string, port: number, localAddress: string): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const outgoing = get({ host: address, port, localAddress, agent: false, timeout: requestTimeoutMs }, (response) => {
    response.resume();
    response.once('close', resolve);
  });
  outgoing.once('timeout', () => outgoing.destroy());
  outgoing.once('error', () => resolve());
  outgoing.once('close', resolve);
  return promise;
};

const repeatRequests = async (address: string, port: number, localAddress: string): Promise<void> => {
  for (;;) {
    await request(address, port, localAddress);
    await sleep(httpIntervalMs);
  }
};

const repeatDatagrams = async (address: string, family: 'udp4' | 'udp6'): Promise<void> => {
  const socket = createSocket(family);
  // A refused or unreachable destination is part of the show.
  socket.on('error', () => undefined);
  for (;;) {
    socket.send('nest lab', serverPorts.udpEcho, address, () => undefined);
    await sleep(datagramIntervalMs);
  }
};

await Promise.all(
  labHosts.flatMap((host) => [
    repeatRequests(host.server4, serverPorts.http, host.client4),
    repeatRequests(host.server4, serverPorts.httpAlternate, host.client4),
    repeatRequests(host.server6, serverPorts.http, host.client6),
    repeatDatagrams(host.server4, 'udp4'),
    repeatDatagrams(host.server6, 'udp6'),
    ...(host.number === 1 ? [repeatRequests(host.server4, serverPorts.http, vlanClient4)] : []),
  ]),
);
