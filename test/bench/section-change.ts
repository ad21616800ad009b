/** What it takes until a change is in force: large deny lists from text to the running tables, and one changed mapping of ten thousand. */
import { createPolicyCompiler, createPolicyReader } from '../../native/image/api.ts';
import type { PolicyDocument } from '../../native/image/api.ts';
import { benchPolicy, denyListPolicy } from './packet-sets.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const listedPrefixes = 100_000;
const mappings = 10_000;

interface Change {
  readonly parseMs: number;
  readonly compileMs: number;
  readonly loadMs: number;
  readonly flipMs: number;
}

interface Changes {
  readonly addresses: readonly Change[];
  readonly prefixes: readonly Change[];
  readonly mapping: readonly Change[];
  /** Resident memory of this process with the last tables in force, and flows read once, bytes. */
  readonly residentBytes: number;
}

const measure = async (bench: Bench): Promise<Changes> => {
  const reader = createPolicyReader();
  const compiler = createPolicyCompiler();
  const apply = async (text: string): Promise<Change> => {
    bench.throwIfUnwanted();
    const start = performance.now();
    const policy = reader.parse(JSON.parse(text));
    const parsed = performance.now();
    const { image } = compiler.compile(policy);
    const compiled = performance.now();
    return { parseMs: parsed - start, compileMs: compiled - parsed, ...(await bench.swap(image)) };
  };
  const changes = { addresses: [] as Change[], prefixes: [] as Change[], mapping: [] as Change[] };
  const document: PolicyDocument = JSON.parse(JSON.stringify(benchPolicy(mappings))) as PolicyDocument;
  await apply(JSON.stringify(document));
  for (let round = 0; round < rounds; round++) {
    console.error(`change: round ${String(round + 1)} of ${String(rounds)}`);
    const edited = document.mappings.map((mapping, index) =>
      index === 5000 + round ? { ...mapping, ports: [String(20_000 + round)], protocols: ['tcp' as const] } : mapping,
    );
    changes.mapping.push(await apply(JSON.stringify({ ...document, mappings: edited })));
  }
  for (let round = 0; round < rounds; round++) {
    changes.addresses.push(await apply(JSON.stringify(denyListPolicy(listedPrefixes, { length: 32, seed: round }))));
    changes.prefixes.push(await apply(JSON.stringify(denyListPolicy(listedPrefixes, { length: 24, seed: round }))));
  }
  await bench.path.flows(262_144);
  return { ...changes, residentBytes: process.memoryUsage().rss };
};

const loading = ({ loadMs, flipMs }: Change): number => loadMs + flipMs;
const editing = (change: Change): number => change.parseMs + change.compileMs + loading(change);

const rows = ({ addresses, prefixes, mapping, residentBytes }: Changes): Row[] => {
  const steps = (figure: string, changes: readonly Change[]): Row[] => [
    toRow({ figure: `${figure}: read and check the document`, unit: 'ms', samples: changes.map(({ parseMs }) => parseMs) }),
    toRow({ figure: `${figure}: compile`, unit: 'ms', samples: changes.map(({ compileMs }) => compileMs) }),
    toRow({ figure: `${figure}: flip`, unit: 'ms', samples: changes.map(({ flipMs }) => flipMs) }),
  ];
  const target = (value: number): { target: { op: '<='; value: number } } => ({ target: { op: '<=', value } });
  return [
    toRow({ figure: '100,000 addresses, image to running table', unit: 'ms', samples: addresses.map(loading), ...target(80) }),
    ...steps('100,000 addresses', addresses),
    toRow({ figure: '100,000 prefixes, image to running table', unit: 'ms', samples: prefixes.map(loading), ...target(300) }),
    ...steps('100,000 prefixes', prefixes),
    toRow({ figure: 'one changed mapping of 10,000, text to enforced', unit: 'ms', samples: mapping.map(editing), ...target(50) }),
    ...steps('one changed mapping of 10,000', mapping),
    toRow({ figure: 'resident memory of the process after that', unit: 'MB', samples: [residentBytes / 1e6] }),
  ];
};

export const changeSection: Section<Changes> = { name: 'change', measure, rows };
