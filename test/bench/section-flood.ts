/** Dropping a denied address in flood mode, beside xdp-filter with the same address and as many others. */
import { compilePolicy } from '../../native/image/api.ts';
import { addressBytes } from '../support/packet.ts';
import { benchPolicy, establishedPacket, floodSource, offsets } from './packet-sets.ts';
import { measureCost } from './packet-tool.ts';
import type { CostSample } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const ratioMax = 1.5;
const denyPrefixes = 10_000;

const measure = async (bench: Bench): Promise<readonly CostSample[]> => {
  await bench.swap(compilePolicy(benchPolicy(1000, { denyPrefixes, denied: floodSource })).image);
  bench.path.setFlood(true);
  const samples: CostSample[] = [];
  const request = {
    pinPath: bench.pinPath,
    packets: 1,
    packet: establishedPacket(floodSource),
    varyOffset: offsets.destinationAddress,
    filter: { set: 'dny_ip', address: addressBytes(floodSource) },
  };
  try {
    for (let round = 0; round < rounds; round++) {
      bench.throwIfUnwanted();
      samples.push(await measureCost(request, bench.signal));
    }
  } finally {
    bench.path.setFlood(false);
  }
  return samples;
};

const rows = (samples: readonly CostSample[]): Row[] => {
  const figure = 'drop of a denied address in flood mode';
  const nest = samples.map(({ nestNs, emptyNs }) => nestNs - emptyNs);
  const filter = samples.flatMap(({ xdpFilterNs, emptyNs }) => (xdpFilterNs === undefined ? [] : [xdpFilterNs - emptyNs]));
  if (filter.length < samples.length) return [toRow({ figure, unit: 'ns/packet net', samples: nest })];
  const baseline = { figure: 'xdp-filter dny_ip', samples: filter };
  return [toRow({ figure, unit: 'ns/packet net', samples: nest, baseline, target: { op: '<=', value: ratioMax } })];
};

export const floodSection: Section<readonly CostSample[]> = { name: 'flood', measure, rows };
