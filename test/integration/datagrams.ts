/**
 * Sends UDP datagrams of a real socket a destination, interleaved and paced, and prints what was sent. Runs in the
 * client's namespace: node datagrams.ts <packets a second> <address,port,count>...
 */
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

/** Datagrams between two pauses: far less than the 256 a veth queue holds. */
const burst = 32;

interface Target {
  readonly socket: Socket;
  readonly address: string;
  readonly port: number;
  left: number;
}

const send = ({ socket, address, port }: Target): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.send('nest', port, address, (error) => (error === null ? resolve() : reject(error)));
  return promise;
};

const [rate = '20000', ...words] = process.argv.slice(2);
const targets = words.map((word): Target => {
  const [address = '', port = '', count = ''] = word.split(',');
  return { socket: createSocket(address.includes(':') ? 'udp6' : 'udp4'), address, port: Number(port), left: Number(count) };
});
const started = performance.now();
let sent = 0;
while (targets.some(({ left }) => left > 0)) {
  for (const target of targets) {
    const now = Math.min(burst, target.left);
    for (let index = 0; index < now; index += 1) await send(target);
    target.left -= now;
    sent += now;
    const ahead = (sent / Number(rate)) * 1000 - (performance.now() - started);
    if (ahead > 1) await sleep(ahead);
  }
}
for (const { socket } of targets) socket.close();
console.log(JSON.stringify({ sent, seconds: (performance.now() - started) / 1000 }));
