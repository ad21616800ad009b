/**
 * Suite "tables": how the policy tables grow, and what a global port class would have needed instead of interval lists.
 * Counts, not times: the same on every machine. docs/adr/0003-policy-tables.md quotes it.
 */
import { compilePolicy } from '../../native/image/api.ts';
import type { Policy } from '../../native/image/api.ts';
import { decodeImage } from '../../native/image/image-decoder.ts';
import { portRangesOf } from '../../native/image/port-range.ts';
import { matchNone } from '../../native/image/limits.ts';
import { toRow } from './report.ts';
import type { Row, Suite } from './report.ts';
import { workloadPolicy } from './workload.ts';
import type { WorkloadOptions } from './workload.ts';

const compileRounds = 7;

export const tablesSuite: Suite = {
  name: 'tables',
  summary: 'growth of the policy tables: services, overlap, mappings; interval lists against a global port class',
  sections: ['tables'],
  run: (_section, signal) => {
    const rows = [...portDesigns(signal), ...growth(signal)];
    return Promise.resolve(rows);
  },
};

const portDesigns = (signal: AbortSignal): Row[] =>
  (['single', 'range', 'mixed'] as const).flatMap((ports) => {
    signal.throwIfAborted();
    const policy = workloadPolicy({ mappings: 10_000, services: 500, ports });
    const intervals = intervalEntries(policy);
    const classes = classEntries(policy);
    const baseline = { figure: `10,000 ${ports}: interval lists`, samples: [intervals] };
    return [
      toRow({ figure: baseline.figure, unit: 'entries', samples: [intervals] }),
      toRow({ figure: `10,000 ${ports}: global port classes`, unit: 'classes', samples: [classes.classes] }),
      toRow({ figure: `10,000 ${ports}: global class, 4 probes`, unit: 'entries', samples: [classes.expanded], baseline }),
      toRow({ figure: `10,000 ${ports}: global class, 8 probes`, unit: 'entries', samples: [classes.withAnyPort], baseline }),
    ];
  });

/** Pairs and intervals of the image as it is. */
const intervalEntries = (policy: Policy): number => {
  const { stats } = compilePolicy(policy);
  return stats.pairs + stats.portIntervals;
};

/**
 * Entries keyed (source, destination, transport, port class), where a class is a set of ports that every mapping treats alike.
 * `expanded`: a pair that matches every port needs all classes. `withAnyPort`: mappings without ports are asked for by four more probes.
 */
const classEntries = (policy: Policy): { classes: number; expanded: number; withAnyPort: number } => {
  const classOfPort = globalClasses(policy);
  const classes = new Set(classOfPort).size;
  const ported = policy.mappings.filter((mapping) => mapping.ports.length > 0);
  const portless = policy.mappings.filter((mapping) => mapping.ports.length === 0);
  const entriesOf = (mappings: Policy['mappings']): number => countPairClasses({ ...policy, mappings }, classOfPort, classes);
  const portlessPairs = portless.length === 0 ? 0 : compilePolicy({ ...policy, mappings: portless }).stats.pairs;
  return { classes, expanded: entriesOf(policy.mappings), withAnyPort: entriesOf(ported) + portlessPairs };
};

/** Class number of every port: ports with the same set of mappings have the same. */
const globalClasses = (policy: Policy): Uint32Array => {
  const classOfPort = new Uint32Array(65_536);
  let classes = 1;
  for (const mapping of policy.mappings) {
    const split = new Map<number, number>();
    for (const { first, last } of portRangesOf(mapping.ports)) {
      for (let port = first; port <= last; port++) {
        const before = classOfPort[port] ?? 0;
        let after = split.get(before);
        if (after === undefined) split.set(before, (after = classes++));
        classOfPort[port] = after;
      }
    }
  }
  return classOfPort;
};

const countPairClasses = (policy: Policy, classOfPort: Uint32Array, classes: number): number => {
  const image = decodeImage(compilePolicy(policy).image);
  const countOfSet = new Map<number, number>();
  let entries = 0;
  for (let pair = 0; pair < image.portSets.length; pair += 2) {
    const first = image.portSets[pair] ?? 0;
    const count = image.portSets[pair + 1] ?? 0;
    if (count === 1) {
      entries += classes;
      continue;
    }
    let matched = countOfSet.get(first);
    if (matched === undefined) countOfSet.set(first, (matched = matchedClasses(image.portIntervals, { first, count }, classOfPort)));
    entries += matched;
  }
  return entries;
};

const matchedClasses = (
  intervals: Uint32Array,
  set: { readonly first: number; readonly count: number },
  classOfPort: Uint32Array,
): number => {
  const found = new Set<number>();
  for (let interval = set.first; interval < set.first + set.count; interval++) {
    if (intervals[interval * 2 + 1] === matchNone) continue;
    const end = interval + 1 < set.first + set.count ? (intervals[interval * 2 + 2] ?? 65_536) : 65_536;
    for (let port = intervals[interval * 2] ?? 0; port < end; port++) found.add(classOfPort[port] ?? 0);
  }
  return found.size;
};

const growth = (signal: AbortSignal): Row[] => {
  const steps: readonly (readonly [string, WorkloadOptions])[] = [
    ...[10, 100, 1000, 10_000].map(
      (mappings) => [`${mappings.toLocaleString('en-US')} mappings, 1,000 services`, { mappings, services: 1000, ports: 'mixed' }] as const,
    ),
    ...[100, 1000, 8000].map(
      (services) => [`1,000 mappings, ${services.toLocaleString('en-US')} services`, { mappings: 1000, services, ports: 'mixed' }] as const,
    ),
    ...[1, 2, 4, 8].map(
      (overlap) =>
        [
          `1,000 mappings, 1,000 services, overlap ${String(overlap)}`,
          { mappings: 1000, services: 1000, ports: 'mixed', overlap },
        ] as const,
    ),
  ];
  return steps.flatMap(([name, options]) => {
    signal.throwIfAborted();
    const policy = workloadPolicy(options);
    const times: number[] = [];
    for (let round = 0; round < compileRounds; round++) {
      const started = performance.now();
      compilePolicy(policy);
      times.push(performance.now() - started);
    }
    const { stats } = compilePolicy(policy);
    const count = (what: string, value: number): Row => toRow({ figure: `${name}: ${what}`, unit: 'entries', samples: [value] });
    return [
      count('identities', stats.identities4 + stats.identities6),
      count('pairs', stats.pairs),
      count('port intervals', stats.portIntervals),
      toRow({ figure: `${name}: image`, unit: 'KiB', samples: [Math.ceil(stats.imageBytes / 1024)] }),
      toRow({ figure: `${name}: compile`, unit: 'ms', samples: times, target: { op: '<=', value: 2000 } }),
    ];
  });
};
