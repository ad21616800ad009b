import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { traceFlow, traceParse } from '../../native/index.ts';
import {
  backendNone,
  flowsMax,
  limitStates,
  lossKinds,
  mappingDefault,
  recordBytes,
  recordKinds,
  outcomes,
  recordOffsets,
  rewriteFlags,
  rewriteOffsets,
  statKinds,
  traceBytes,
  traceMoreBytes,
  traceMoreOffsets,
  traceOffsets,
} from './layout.ts';

const header = readFileSync(new URL('../../bpf/include/nest/abi.h', import.meta.url), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');

/** Lays a struct out as a C compiler does: natural alignment, arrays by element. */
const layoutOf = (name: string): { offsets: Record<string, number>; size: number } => {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1] ?? '';
  const sizes: Record<string, number> = { __u8: 1, __u16: 2, __u32: 4, __u64: 8, __be16: 2, __be32: 4 };
  const offsets: Record<string, number> = {};
  let end = 0;
  let widest = 1;
  for (const [, type = '', field = '', count = '1'] of body.matchAll(/(__\w+)\s+(\w+)(?:\[(\d+)\])?;/g)) {
    const size = sizes[type] ?? Number.NaN;
    widest = Math.max(widest, size);
    end = Math.ceil(end / size) * size;
    offsets[field] = end;
    end += size * Number(count);
  }
  return { offsets, size: Math.ceil(end / widest) * widest };
};

const numberOf = (name: string): number => Number(new RegExp(`#define ${name} +(\\d+)u?\\b`).exec(header)?.[1]);

describe('layout', () => {
  it('has the offsets and the size of struct nest_record', () => {
    const { offsets, size } = layoutOf('nest_record');
    expect({ ...offsets, pad: undefined, size }).toEqual({ ...recordOffsets, pad: undefined, size: recordBytes });
  });

  it('has the offsets and the size of struct nest_trace', () => {
    expect(layoutOf('nest_trace')).toEqual({ offsets: traceOffsets, size: traceBytes });
  });

  it('has the offsets and the size of struct nest_trace_more', () => {
    const rewrite = layoutOf('nest_rewrite');
    const { offsets, size } = layoutOf('nest_trace_more');
    const moved = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, offset + rewrite.size]));
    expect({ ...rewrite.offsets, pad: undefined }).toEqual({ ...rewriteOffsets, pad: undefined });
    expect({ rewrite: 0, ...moved, pad: undefined, size: size + rewrite.size }).toEqual({
      ...traceMoreOffsets,
      pad: undefined,
      size: traceMoreBytes,
    });
  });

  it('has the numbers of the rewrite and of what becomes of a packet', () => {
    const numbers = (prefix: string, names: readonly string[]): number[] => names.map((name) => numberOf(`${prefix}_${name}`));
    expect(numbers('NEST_REWRITE', ['SOURCE', 'DESTINATION', 'DSCP', 'DIRECT', 'ROUTED'])).toEqual(Object.values(rewriteFlags));
    expect(numbers('NEST_OUTCOME', ['PASS', 'DROP', 'TX', 'REDIRECT'])).toEqual([...outcomes.keys()]);
    expect(numbers('NEST_TRACE_LIMIT', ['NONE', 'WITHIN', 'OVER'])).toEqual([...limitStates.keys()]);
    expect(numbers('NEST_STAT', ['JUDGED', 'TOO_BIG', 'KERNEL', 'FORWARDED'])).toEqual(Object.values(statKinds));
    expect(Number(/#define NEST_BACKEND_NONE +(0x[0-9a-f]+)u/.exec(header)?.[1])).toBe(backendNone);
  });

  it('has the numbers of the header', () => {
    expect({
      kinds: [numberOf('NEST_RECORD_START'), numberOf('NEST_RECORD_END'), numberOf('NEST_RECORD_DENY'), numberOf('NEST_RECORD_REJUDGED')],
      flow: ['NOT_ASKED', 'MISS', 'HIT', 'STALE', 'IDLE', 'CLOSED'].map((name) => numberOf(`NEST_TRACE_FLOW_${name}`)),
      parse: ['IPV4_OPTIONS', 'IPV6_EXTENSIONS', 'FIRST_FRAGMENT', 'LATER_FRAGMENT'].map((name) => numberOf(`NEST_TRACE_PARSE_${name}`)),
      losses: ['RING_FULL', 'SUPPRESSED', 'FLOW_TABLE'].map((name) => numberOf(`NEST_LOSS_${name}`)),
      mappings: numberOf('NEST_MAPPINGS_MAX'),
      flows: 2 * numberOf('NEST_FLOWS_MAX'),
    }).toEqual({
      kinds: [recordKinds.start, recordKinds.end, recordKinds.deny, recordKinds.rejudged],
      flow: Object.values(traceFlow),
      parse: Object.values(traceParse),
      losses: Object.values(lossKinds),
      mappings: mappingDefault,
      flows: flowsMax,
    });
  });
});
