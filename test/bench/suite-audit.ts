/**
 * Suite "audit": how many entries a host's audit log takes and checks in a second, on the disk of the temporary folder. Beside it the floor:
 * the same bytes in the same groups, written and flushed by nothing but the file system calls.
 */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditControl } from '../../agent/control/audit/api.ts';
import { openTestLog, testFact } from '../../agent/control/audit/test-log.ts';
import { encodeAuditEntry } from '../../proto/model/audit.ts';
import { toRow } from './report.ts';
import type { Row, Suite } from './report.ts';

const rounds = 5;
const entries = 100_000;
/** Calls under way at the same time. */
const inFlight = 4_096;
const group = 500;
const singles = 200;
const facts = Array.from({ length: 200 }, (_, index) => testFact(index));

interface Sample {
  /** Per second. */
  readonly append: number;
  readonly verify: number;
  readonly floor: number;
  /** Milliseconds for one entry that waits for nobody. */
  readonly single: number;
}

export const auditSuite: Suite = {
  name: 'audit',
  summary: 'entries a second appended with group flush and verified, beside the bare writes; one durable entry',
  sections: ['audit'],
  run: async (_section, signal, progress) => {
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted();
      samples.push(await measure(round));
      progress(`round ${String(round + 1)} of ${String(rounds)}`);
    }
    return rowsOf(samples);
  },
};

/** Logs of their own, so that every round begins with an empty one; the order of the two sides changes. */
const measure = async (round: number): Promise<Sample> => {
  const folder = await mkdtemp(join(tmpdir(), 'nest-bench-audit-'));
  try {
    const early = round % 2 === 0 ? await bareWrites(folder) : null;
    const log = await openTestLog(folder);
    const append = await appendRate(log);
    const verify = await verifyRate(log);
    const single = await singleMs(log);
    await log.close();
    return { append, verify, single, floor: early ?? (await bareWrites(folder)) };
  } finally {
    await rm(folder, { recursive: true });
  }
};

const appendRate = async (log: AuditControl): Promise<number> => {
  const started = performance.now();
  for (let done = 0; done < entries; done += inFlight) {
    const count = Math.min(inFlight, entries - done);
    await Promise.all(Array.from({ length: count }, (_, index) => log.append(facts[index % facts.length] ?? testFact(0))));
  }
  return perSecond(entries, started);
};

const verifyRate = async (log: AuditControl): Promise<number> => {
  const started = performance.now();
  const { first, last, problem } = await log.verify();
  if (problem !== null || last - first + 1 !== entries)
    throw new Error(`the log is not what was written: ${problem?.message ?? String(last)}`);
  return perSecond(entries, started);
};

const singleMs = async (log: AuditControl): Promise<number> => {
  const started = performance.now();
  for (let index = 0; index < singles; index++) await log.append(testFact(index), { durable: true });
  return (performance.now() - started) / singles;
};

const bareWrites = async (folder: string): Promise<number> => {
  const entry = encodeAuditEntry({ ...testFact(1), number: 1, atMs: Date.now() }, Buffer.alloc(32));
  const bytes = Buffer.alloc((entry.length + 8) * group, 7);
  const path = join(folder, 'floor');
  const file = await open(path, 'w');
  try {
    const started = performance.now();
    for (let done = 0; done < entries; done += group) {
      await file.write(bytes);
      await file.datasync();
    }
    return perSecond(entries, started);
  } finally {
    await file.close();
    await rm(path);
  }
};

const perSecond = (count: number, startedMs: number): number => (count / (performance.now() - startedMs)) * 1000;

const rowsOf = (samples: readonly Sample[]): Row[] => [
  toRow({
    figure: 'audit append, group-synced',
    unit: 'entries/s',
    samples: samples.map(({ append }) => append),
    target: { op: '>=', value: 100_000 },
  }),
  toRow({ figure: 'bare writes of the same groups', unit: 'entries/s', samples: samples.map(({ floor }) => floor) }),
  toRow({ figure: 'audit verify', unit: 'entries/s', samples: samples.map(({ verify }) => verify), target: { op: '>=', value: 200_000 } }),
  toRow({ figure: 'one durable entry alone', unit: 'ms', samples: samples.map(({ single }) => single) }),
];
