/**
 * The packet cases that drive every runtime: bpf/test/fixtures/packets.json. A new case is one entry. `before` are packets
 * that came first, in order; only the last one is judged by `expected`. Output "same" = the packet as it came. Packets are hex;
 * in a long one "02*1253", between spaces, is that byte so many times.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { reasonNames } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';

const verdicts: ReadonlySet<string> = new Set(['pass', 'drop', 'transmit', 'redirect']);

export interface PacketFixture {
  readonly name: string;
  /** What the data path owes to whoever sent the packet. */
  readonly sentence: string;
  /** Name of one of `policies`. */
  readonly policy: string;
  readonly before: readonly string[];
  readonly packet: string;
  readonly expected: {
    readonly verdict: 'pass' | 'drop' | 'transmit' | 'redirect';
    readonly reason: ReasonName;
    /** Null: the default action, or policy was not asked. */
    readonly mapping: string | null;
    readonly output: string;
  };
}

export interface PacketFixtures {
  readonly policies: Readonly<Record<string, PolicyDocument>>;
  readonly cases: readonly PacketFixture[];
}

/** The fixture file, its packets in plain hex. */
export const readPacketFixtures = (): PacketFixtures => {
  const text = readFileSync(join(import.meta.dirname, '../../bpf/test/fixtures/packets.json'), 'utf8');
  const { policies, cases } = JSON.parse(text) as PacketFixtures;
  for (const each of cases) checkFixture(each, policies);
  return {
    policies,
    cases: cases.map(({ before, packet, expected, ...rest }) => ({
      ...rest,
      before: before.map((each) => plainHex(each)),
      packet: plainHex(packet),
      expected: { ...expected, output: plainHex(expected.output) },
    })),
  };
};

/** A slip of the pen is told as such, not as a difference of runtimes. */
const checkFixture = ({ name, policy, before, packet, expected }: PacketFixture, policies: PacketFixtures['policies']): void => {
  const problems = [
    ...(policy in policies ? [] : [`there is no policy "${policy}": choose one of ${Object.keys(policies).join(', ')}`]),
    ...(verdicts.has(expected.verdict) ? [] : [`"${expected.verdict}" is no verdict: choose one of ${[...verdicts].join(', ')}`]),
    ...(reasonNames.includes(expected.reason) ? [] : [`"${expected.reason}" is no reason: docs/REASONS.md lists them`]),
    ...[...before, packet, ...(expected.output === 'same' ? [] : [expected.output])]
      .filter((hex) => !/^(?:[0-9a-f]{2})*$/.test(plainHex(hex)))
      .map((hex) => `"${hex.slice(0, 40)}…" is not hex`),
  ];
  if (problems.length > 0) throw new Error(`bpf/test/fixtures/packets.json, "${name}": ${problems.join('; ')}`);
};

/** The bytes that are to leave, hex. */
export const outputOf = ({ expected, packet }: Pick<PacketFixture, 'expected' | 'packet'>): string =>
  expected.output === 'same' ? packet : expected.output;

/** What is expected, as each runtime says what it found: verdict, reason, mapping, bytes. */
export const expectedText = (fixture: Pick<PacketFixture, 'expected' | 'packet'>): string => {
  const { verdict, reason, mapping } = fixture.expected;
  return `${verdict} ${reason} ${mapping ?? '-'} ${outputOf(fixture)}`;
};

/** Without the spaces, and with each run of a byte in full. */
const plainHex = (text: string): string =>
  text.replaceAll(/([0-9a-f]{2})\*(\d+)/g, (_, byte: string, count: string) => byte.repeat(Number(count))).replaceAll(' ', '');
