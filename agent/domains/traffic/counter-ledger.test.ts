import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openStateDatabase } from '../../control/revisions/api.ts';
import { mappingDefault } from '../../engine/api.ts';
import type { EngineCounters } from '../../engine/api.ts';
import { createCounterLedger, ledgerMigrations } from './counter-ledger.ts';
import type { CounterLedger, SequenceRecord } from './counter-ledger.ts';

const names = ['alpha', 'beta', 'gamma', 'delta'];

/** Counts as the data path does, and by name, which is the truth. */
class CountingKernel {
  instance = 1;
  sequence = 0;
  halves = [new BigUint64Array(2 * (mappingDefault + 1)), new BigUint64Array(2 * (mappingDefault + 1))];
  record: SequenceRecord | null = null;
  readonly truth = new Map<string, bigint>();

  half(sequence: number): BigUint64Array {
    return this.halves[sequence & 1] ?? new BigUint64Array();
  }

  counters(): EngineCounters {
    const of = (sequence: number) => ({ sequence, values: this.half(sequence).slice() });
    return {
      interfaces: [],
      active: of(this.sequence),
      retired: this.sequence < 2 ? null : of(this.sequence - 1),
      recordsLost: 0n,
      recordsSuppressed: 0n,
      flowsNotInserted: 0n,
    };
  }

  count(pick: number, packets: number): void {
    if (this.record === null) return;
    const index = pick % (this.record.mappings.length + 1);
    const name = this.record.mappings[index]?.name ?? '';
    const offset = (name === '' ? mappingDefault : index) * 2;
    const half = this.half(this.sequence);
    half[offset] = (half[offset] ?? 0n) + BigInt(packets);
    half[offset + 1] = (half[offset + 1] ?? 0n) + BigInt(packets * 60);
    this.truth.set(name, (this.truth.get(name) ?? 0n) + BigInt(packets));
  }

  swap(record: SequenceRecord): void {
    this.clearNext();
    this.sequence++;
    this.record = record;
  }

  clearNext(): void {
    this.half(this.sequence + 1).fill(0n);
  }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('count' as const), pick: fc.nat(7), packets: fc.integer({ min: 1, max: 1000 }) }),
  fc.record({
    kind: fc.constant('swap' as const),
    mappings: fc.subarray(names),
    outcome: fc.constantFrom('done', 'done', 'failed', 'killed before', 'killed after'),
  }),
  fc.record({ kind: fc.constant('checkpoint' as const) }),
  fc.record({ kind: fc.constant('restart' as const) }),
);

const totalsOf = (ledger: CounterLedger, kernel: CountingKernel): unknown =>
  new Map(
    ledger
      .totals(`boot:${String(kernel.instance)}`, kernel.counters())
      .filter(({ packets }) => packets > 0n)
      .map(({ mapping, packets, bytes }) => [mapping, [packets, bytes]]),
  );

const truthOf = (kernel: CountingKernel): unknown => new Map([...kernel.truth].map(([name, packets]) => [name, [packets, packets * 60n]]));

describe('counter ledger', () => {
  it('has exact totals after any order of packets, swaps, failed swaps, checkpoints, crashes and restarts', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const directory = mkdtempSync(join(tmpdir(), 'nest-ledger-'));
        const open = (): CounterLedger =>
          createCounterLedger(openStateDatabase({ path: join(directory, 'traffic.sqlite'), migrations: ledgerMigrations }).database);
        const kernel = new CountingKernel();
        let ledger = open();
        const restart = (): void => {
          ledger.close();
          ledger = open();
        };
        try {
          for (const action of steps) {
            const instance = `boot:${String(kernel.instance)}`;
            if (action.kind === 'count') kernel.count(action.pick, action.packets);
            if (action.kind === 'checkpoint') ledger.checkpoint(instance, kernel.counters());
            if (action.kind === 'restart') restart();
            if (action.kind === 'swap') {
              const record = {
                generation: action.mappings.join(),
                mappings: [...action.mappings].sort().map((name) => ({ name, allow: true })),
                isDefaultAllow: true,
              };
              ledger.prepareSwap(instance, kernel.counters(), { sequence: kernel.sequence + 1, record });
              if (action.outcome === 'killed before') restart();
              else if (action.outcome === 'failed') {
                kernel.clearNext();
                ledger.cancelSwap(instance, kernel.sequence + 1);
              } else kernel.swap(record);
              if (action.outcome === 'killed after') restart();
            }
            expect(totalsOf(ledger, kernel)).toEqual(truthOf(kernel));
          }
        } finally {
          ledger.close();
          rmSync(directory, { recursive: true, force: true });
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps what was checkpointed when the host reboots and counts on in the new data path', () => {
    const { database } = openStateDatabase({ path: ':memory:', migrations: ledgerMigrations });
    const ledger = createCounterLedger(database);
    const first = new CountingKernel();
    const record = { generation: 'g', mappings: [{ name: 'alpha', allow: false }], isDefaultAllow: true };
    ledger.prepareSwap('boot:1', first.counters(), { sequence: 1, record });
    first.swap(record);
    first.count(0, 10);
    ledger.checkpoint('boot:1', first.counters());
    const second = new CountingKernel();
    second.instance = 2;
    expect(ledger.sequence('boot:2', 1)).toBeUndefined();
    ledger.prepareSwap('boot:2', second.counters(), { sequence: 1, record });
    second.swap(record);
    second.count(0, 5);
    expect(ledger.totals('boot:2', second.counters())).toEqual([
      { mapping: 'alpha', allow: false, packets: 15n, bytes: 900n },
      { mapping: '', allow: true, packets: 0n, bytes: 0n },
    ]);
    ledger.close();
  });

  it('gives a stamp to the swap that it counts up from', () => {
    const { database } = openStateDatabase({ path: ':memory:', migrations: ledgerMigrations });
    const ledger = createCounterLedger(database);
    const record = (generation: string) => ({ generation, mappings: [], isDefaultAllow: true });
    const kernel = new CountingKernel();
    for (const [sequence, generation] of [
      [1, 'a'],
      [6, 'b'],
      [7, 'c'],
    ] as const) {
      ledger.prepareSwap('boot:1', kernel.counters(), { sequence, record: record(generation) });
      ledger.setRevision('boot:1', sequence, sequence * 10);
    }
    const named = [1, 3, 5, 6, 7, 9, 4_000_000_001].map((stamp) => ledger.sequence('boot:1', stamp)?.generation);
    expect(named).toEqual(['a', 'a', 'a', 'b', 'c', 'c', 'c']);
    expect(ledger.revisionOf('boot:1', 5)).toBe(10);
    expect(ledger.sequence('boot:1', 0)).toBeUndefined();
    expect(ledger.sequence('boot:2', 9)).toBeUndefined();
    ledger.close();
  });

  it('knows the names and the revision of a sequence after a restart', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nest-ledger-'));
    const open = (): CounterLedger =>
      createCounterLedger(openStateDatabase({ path: join(directory, 'traffic.sqlite'), migrations: ledgerMigrations }).database);
    const kernel = new CountingKernel();
    const record = { generation: 'g', mappings: [{ name: 'alpha', allow: false }], isDefaultAllow: false };
    const ledger = open();
    ledger.prepareSwap('boot:1', kernel.counters(), { sequence: 1, record });
    ledger.setRevision('boot:1', 1, 7);
    ledger.close();
    const again = open();
    expect(again.sequence('boot:1', 1)).toMatchObject(record);
    expect(again.revisionOf('boot:1', 1)).toBe(7);
    again.close();
    rmSync(directory, { recursive: true, force: true });
  });
});
