/**
 * Memory with 100,000 rules and full flow tables. The agent's traffic domain with its real data path runs in a process of its own; the
 * agent's server, its console connections and its telemetry are not in it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { compilePolicy } from '../../native/image/api.ts';
import { newFlowPacket, newFlowPacket6, offsets, portRulesPolicy } from './packet-sets.ts';
import { countFlows, drivePackets, measureMaps } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { startProgram } from './running.ts';
import type { Bench, Section } from './section.ts';

/** Ten ports each. */
const mappings = 10_000;
const rulesMin = 100_000;
/** Of each address family: as many as the tables hold. */
const flows = 131_072;
/** The kernel evicts a few before a table is full: it keeps some places free for every processor. */
const flowShareMin = 0.99;
const flowsPerSecond = 100_000;
const settleMs = 2000;

const agent = fileURLToPath(new URL('../integration/agent-in-namespace.ts', import.meta.url));

interface Memory {
  /** Entries of the policy tables: pairs of services and intervals of ports. */
  readonly entries: number;
  readonly flows: number;
  /** Bytes: of the process before the policy, and with all; what the kernel accounts for maps. */
  readonly emptyBytes: number;
  readonly residentBytes: number;
  readonly mapBytes: number;
}

const measure = async (bench: Bench): Promise<Memory> => {
  const policy = portRulesPolicy(mappings);
  const { stats } = compilePolicy(policy);
  const entries = stats.pairs + stats.portIntervals;
  if (entries < rulesMin) throw new Error(`The tables have ${String(entries)} entries alone.`);
  const folder = mkdtempSync(join(tmpdir(), 'nest-bench-'));
  const pinPath = `${bench.pinPath}-agent`;
  try {
    mkdirSync(pinPath, { recursive: true });
    const setup = { stateDir: folder, pinPath, interfaces: [bench.link], fallback: 'pass', fastpathFolder: null };
    await using running = startProgram([process.execPath, agent, JSON.stringify(setup)], bench.signal);
    await running.answer((text) => text.includes('"ready":true'));
    const emptyBytes = residentBytesOf(running.process);
    const activated = await running.answer(
      (text) => text.includes('\n'),
      JSON.stringify({ kind: 'activate', policy: JSON.stringify(policy) }),
    );
    if (!activated.includes('"value"')) throw new Error(`The policy is refused: ${activated.slice(0, 500)}`);
    await fill(bench, pinPath);
    await sleep(settleMs);
    const live = await countFlows(pinPath, bench.signal);
    if (live < 2 * flows * flowShareMin) throw new Error(`There are ${String(live)} flows alone.`);
    const { bytes: mapBytes } = await measureMaps(pinPath, bench.signal);
    const residentBytes = residentBytesOf(running.process);
    await running.answer((text) => text.includes('\n'), JSON.stringify({ kind: 'close' }));
    return { entries, flows: live, emptyBytes, residentBytes, mapBytes };
  } finally {
    rmSync(pinPath, { recursive: true, force: true });
    rmSync(folder, { recursive: true });
  }
};

const fill = async ({ link, signal }: Bench, pinPath: string): Promise<void> => {
  const common = { pinPath, link, count: flows, rate: flowsPerSecond, processor: 1 };
  for (const [packet, offset] of [
    [newFlowPacket(), offsets.sourcePort],
    [newFlowPacket6(), offsets.sourcePort6],
  ] as const)
    await drivePackets({ ...common, packet, vary: { offset, flows } }, signal);
};

const residentBytesOf = (pid: number): number => {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  if (kibibytes === undefined) throw new Error(`Process ${String(pid)} has no resident memory.`);
  return Number(kibibytes) * 1024;
};

const rows = ({ entries, flows: live, emptyBytes, residentBytes, mapBytes }: Memory): Row[] => {
  const holder = "the agent's traffic domain, a process of its own";
  return [
    toRow({ figure: 'entries of the policy tables: pairs and port intervals of 100,000 rules', unit: 'entries', samples: [entries] }),
    toRow({ figure: 'live flows, both families', unit: 'flows', samples: [live] }),
    toRow({ figure: `resident memory of ${holder}, no policy`, unit: 'MB', samples: [emptyBytes / 1e6] }),
    toRow({ figure: `resident memory of ${holder}, 100,000 rules and these flows`, unit: 'MB', samples: [residentBytes / 1e6] }),
    toRow({ figure: 'memory of all BPF maps then (memlock of fdinfo)', unit: 'MB', samples: [mapBytes / 1e6] }),
  ];
};

export const memorySection: Section<Memory> = { name: 'memory', measure, rows };
