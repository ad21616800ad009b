/**
 * The lab's real servers: HTTP on the given ports and a UDP echo, on IPv4 and IPv6; with --web HTTP and UDP that answer
 * with a name, on the given addresses alone. Runs in nest-server until it is ended.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    http: { type: 'string', multiple: true },
    udp: { type: 'string' },
    web: { type: 'string' },
    address: { type: 'string', multiple: true },
    port: { type: 'string', default: '0' },
  },
});

for (const port of values.http ?? []) {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.end(`nest lab, port ${port}, seen from ${request.socket.remoteAddress ?? 'nowhere'}\n`);
  });
  server.listen(Number(port), '::');
}
if (values.udp !== undefined) {
  const socket = createSocket('udp6');
  socket.on('message', (message, sender) => socket.send(message, sender.port, sender.address));
  socket.bind(Number(values.udp), '::');
}
const web = values.web;
if (web !== undefined) {
  for (const address of values.address ?? []) {
    createServer((request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'x-served-by': web });
      response.end(`${web}, for ${request.socket.remoteAddress ?? 'nowhere'}\n`);
    }).listen(Number(values.port), address);
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (message, sender) =>
      socket.send(`${web}: ${message.toString('utf8').slice(0, 512)}`, sender.port, sender.address),
    );
    socket.bind(Number(values.port), address);
  }
}
