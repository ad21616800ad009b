/** The lab's real server: HTTP on the given ports and a UDP echo, on IPv4 and IPv6. Runs in nest-server until it is ended. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { http: { type: 'string', multiple: true }, udp: { type: 'string' } } });

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
