import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compilePolicy, openImage, parsePolicy } from '../api.ts';
import { withBackendStates } from './images.ts';
import {
  halves,
  laneBytes,
  laneOffsets,
  lanesMax,
  placeBytes,
  placeOffsets,
  portBytes,
  portNameBytes,
  portOffsets,
  portsMax,
  reasonSlots,
  recordsPerAnswerMax,
  ringOffsets,
  statusBytes,
  statusOffsets,
} from './layout.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
const protocol = read('native/src/fastpathd/protocol.h');
const verdict = read('native/src/user/verdict.h');
const contract = read('bpf/include/nest/abi.h') + read('bpf/include/nest/reason.h');

const numberOf = (name: string): number => Number(new RegExp(`#define ${name} +(\\d+)u?\\b`).exec(protocol + contract)?.[1]);
const valueOf = (text: string): number => (/^\d+$/.test(text) ? Number(text) : numberOf(text));

interface Layout {
  readonly offsets: Readonly<Record<string, number>>;
  readonly size: number;
  readonly alignment: number;
}

/** Lays a struct out as a C compiler does, structs within it likewise. */
const layoutOf = (header: string, name: string): Layout => {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
  if (body === undefined) throw new Error(`there is no struct ${name}`);
  const plain: Record<string, number> = { __u8: 1, uint8_t: 1, char: 1, __u16: 2, __u32: 4, __s32: 4, uint32_t: 4, __u64: 8 };
  const offsets: Record<string, number> = {};
  let end = 0;
  let alignment = 1;
  for (const [, type = '', field = '', counts = ''] of body.matchAll(/((?:struct )?\w+) (\w+)((?:\[\w*\])*);/g)) {
    const inner = type.startsWith('struct ') ? layoutOf(header + contract, type.slice(7)) : undefined;
    const size = inner?.size ?? plain[type] ?? Number.NaN;
    const step = inner?.alignment ?? size;
    const count = [...counts.matchAll(/\[(\w*)\]/g)].reduce((product, [, text = '']) => product * (text === '' ? 0 : valueOf(text)), 1);
    alignment = Math.max(alignment, step);
    end = Math.ceil(end / step) * step;
    offsets[field] = end;
    end += size * count;
  }
  return { offsets, size: Math.ceil(end / alignment) * alignment, alignment };
};

describe('layout of what nest-fastpathd shares', () => {
  it('is that of its headers', () => {
    const status = layoutOf(protocol, 'nest_fast_status');
    expect(status.offsets).toMatchObject(statusOffsets);
    expect(status.size).toBe(statusBytes);
    expect(layoutOf(protocol, 'nest_fast_lane').offsets).toMatchObject(laneOffsets);
    expect(layoutOf(protocol, 'nest_fast_lane').size).toBe(laneBytes);
    expect(layoutOf(protocol, 'nest_fast_offsets')).toMatchObject({ offsets: placeOffsets, size: placeBytes });
    expect(layoutOf(protocol, 'nest_fast_port').offsets).toMatchObject(portOffsets);
    expect(layoutOf(protocol, 'nest_fast_port').size).toBe(portBytes);
    expect(layoutOf(verdict, 'nest_user_ring').offsets).toMatchObject(ringOffsets);
  });

  it('has the numbers of its headers', () => {
    const limits = ['NEST_FAST_LANES_MAX', 'NEST_FAST_PORTS_MAX', 'NEST_FAST_NAME_BYTES', 'NEST_FAST_RECORDS_MAX', 'NEST_REASON_SLOTS'];
    expect(limits.map(numberOf)).toEqual([lanesMax, portsMax, portNameBytes, recordsPerAnswerMax, reasonSlots]);
    const mappings = numberOf('NEST_MAPPINGS_MAX') + 1;
    const entries = [mappings, mappings, numberOf('NEST_DENY_LISTS_MAX'), numberOf('NEST_BACKENDS_MAX')];
    expect(Object.values(halves).map((half) => half.entries)).toEqual(entries);
    expect(Object.values(halves).map(({ words }) => words * 8)).toEqual(
      ['nest_counter', 'nest_counter', 'nest_counter', 'nest_backend_counter'].map((name) => layoutOf(contract, name).size),
    );
  });
});

describe('withBackendStates', () => {
  it('changes the states of the backends and nothing else', () => {
    const policyWith = (states: readonly string[]): Uint8Array =>
      compilePolicy(
        parsePolicy({
          apiVersion: 'nest/v1',
          kind: 'Policy',
          defaultAction: 'allow',
          services: [{ name: 'web', addresses: ['198.18.0.80/32', '2001:db8::80/128'] }],
          denyLists: [{ name: 'bad', prefixes: ['198.19.0.0/16', '2001:db8:bad::/48'] }],
          mappings: [
            {
              name: 'front',
              sources: ['any'],
              destinations: ['web'],
              protocols: ['tcp'],
              ports: ['80', '8000-8100'],
              action: 'balance',
              priority: 10,
              rateLimit: { packetsPerSecond: 1000 },
              backends: states.map((state, index) => ({ name: `b${String(index)}`, address: `198.18.9.${String(index + 1)}`, state })),
            },
          ],
        }),
      ).image;
    const up = policyWith(['up', 'up', 'up']);
    const other = policyWith(['down', 'up', 'drain']);
    const differing = [...up.keys()].filter((at) => up[at] !== other[at]);
    const states = Uint8Array.from([0, 1, 2], (index) => other[(differing[0] ?? 0) + index * 32] ?? 0);
    expect(withBackendStates(up, states)).toEqual(other);
    expect(() => openImage(withBackendStates(up, states))).not.toThrow();
    expect(differing).toHaveLength(2);
  });

  it('leaves an image without backends alone', () => {
    const { image } = compilePolicy(
      parsePolicy({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [], mappings: [] }),
    );
    expect(withBackendStates(image, new Uint8Array())).toBe(image);
  });
});
