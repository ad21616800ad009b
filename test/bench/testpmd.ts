/** DPDK's testpmd, asked on its command line: its counters are read twice, so that the time it takes to come up is in no figure. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProgram } from './running.ts';

/** Of forward mode "flowgen": UDP packets of so many flows, while what comes back is counted and dropped. */
const flowgenFlows = 4096;

/** Where DPDK keeps files for second processes, by name; it leaves them behind. */
const runtimeFolder = '/var/run/dpdk';

const linkTriesMax = 200;
const linkPollMs = 50;

const words = (text: string): readonly string[] => text.split(' ');

interface TestpmdOptions {
  /** Arguments of --vdev. */
  readonly vdevs: readonly string[];
  /** Two of them at a time need different names. */
  readonly name: string;
  /** That forwards: 0 or 1; the other one waits for commands. */
  readonly processor: 0 | 1;
  readonly forward: 'flowgen' | 'macswap';
  /** A single port sends back what it received. */
  readonly isLoop: boolean;
}

export interface Testpmd extends AsyncDisposable {
  /** Resolves when all links are up; raises after 10 s. */
  linked(): Promise<void>;
  /** Begins to forward, or to send. */
  start(): void;
  /** Packets received per millisecond by all ports during that time. Raises when there were none. */
  receivedPerMs(windowMs: number): Promise<number>;
}

/** Starts it without huge pages. The measurement is aborted with the signal. */
export const startTestpmd = async (options: TestpmdOptions, signal: AbortSignal): Promise<Testpmd> => {
  const { vdevs, name, processor, forward, isLoop } = options;
  const running = startProgram(
    [
      // A pipe would get its answers by the page. Ours takes the same priority by itself (native/src/fastpathd/worker.cc).
      ...words(
        `nice --adjustment=-10 stdbuf --output=L dpdk-testpmd --lcores 0@${String(1 - processor)},1@${String(processor)} --main-lcore=0`,
      ),
      ...words(`--no-pci --no-huge -m 512 --no-telemetry --file-prefix=${name}`),
      ...vdevs.map((vdev) => `--vdev=${vdev}`),
      ...words(`-- -i --nb-cores=1 --total-num-mbufs=16384 --forward-mode=${forward} --flowgen-flows=${String(flowgenFlows)}`),
      ...(isLoop ? ['--port-topology=loop'] : []),
    ],
    signal,
  );
  const ask = async (line: string, last: RegExp): Promise<string> =>
    await running.answer((text) => [...text.matchAll(last)].length >= vdevs.length, line);
  const received = async (): Promise<{ readonly packets: number; readonly atMs: number }> => {
    const text = await ask('show port stats all', /Tx-bps:.*\n/g);
    const packets = [...text.matchAll(/RX-packets:\s*(\d+)/g)].reduce((sum, [, digits]) => sum + Number(digits), 0);
    return { packets, atMs: performance.now() };
  };
  try {
    await running.answer((text) => text.includes('testpmd>'));
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
  return {
    linked: async () => {
      for (let tries = 0; tries < linkTriesMax; tries++) {
        const text = await ask('show port summary all', /net_\w+ +(?:up|down) .*\n/g);
        if (!/ down /.test(text)) return;
        await sleep(linkPollMs, undefined, { signal });
      }
      throw new Error(`A link of testpmd stays down: ${running.lastWords()}`);
    },
    start: () => running.tell('start'),
    receivedPerMs: async (windowMs) => {
      const before = await received();
      await sleep(windowMs, undefined, { signal });
      const after = await received();
      if (after.packets === before.packets) throw new Error(`testpmd receives nothing: ${running.lastWords()}`);
      return (after.packets - before.packets) / (after.atMs - before.atMs);
    },
    [Symbol.asyncDispose]: async () => {
      await running[Symbol.asyncDispose]();
      rmSync(join(runtimeFolder, name), { recursive: true, force: true });
    },
  };
};
