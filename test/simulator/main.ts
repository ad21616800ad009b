/** Command line of the simulator: npm run -s simulator -- up --agents 1000. */
import { parseArgs } from 'node:util';
import { agentsMax, Simulator } from './simulator.ts';

const help = `npm run -s simulator -- up [--agents <number>] [--flows <per second>] [--json]

Starts a fleet of simulated agents (1 to ${agentsMax}, 1000 by default) and prints the data folder and passphrase of a console that
knows them all. The agents are real but for the data path: identity, revisions, server, streams. Everything is gone with the process:
end it with Ctrl-C.

Open the fleet with the console:        node desktop/web/main.ts --data <folder>
or on the command line:                 NEST_CONSOLE_DIR=<folder> npm run -s nest -- hosts ls
`;

const whole = (text: string, name: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new Error(`--${name} must be a whole number.`);
};

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      agents: { type: 'string', default: '1000' },
      flows: { type: 'string', default: '100' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true || positionals[0] !== 'up') {
    console.log(help);
    return values.help === true ? 0 : 2;
  }
  const end = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => end.abort());
  try {
    await using simulator = await Simulator.up({
      agents: whole(values.agents, 'agents'),
      flowsPerSecond: whole(values.flows, 'flows'),
      signal: end.signal,
      progress: (line) => console.error(`simulator: ${line}`),
    });
    const { dataDirectory, passphrase } = simulator.fleet;
    if (values.json === true) console.log(JSON.stringify({ agents: simulator.agents.length, dataDirectory, passphrase }));
    else console.log(`${simulator.agents.length} agents are up. Data folder ${dataDirectory}, passphrase ${passphrase}. End with Ctrl-C.`);
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => undefined, 60_000);
      end.signal.addEventListener('abort', () => {
        clearInterval(timer);
        resolve();
      });
      if (end.signal.aborted) resolve();
    });
    return 0;
  } catch (error) {
    if (end.signal.aborted) return 130;
    throw error;
  }
};

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
