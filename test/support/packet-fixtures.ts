/**
 * The packet cases that drive every runtime: bpf/test/fixtures/packets.json. A new case is one entry. `before` are packets
 * that came first, in order; only the last one is judged by `expected`. Output "same" = the packet as it came.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import type { ReasonName } from '../../proto/model/reason.ts';

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

/** The fixture file. */
export const readPacketFixtures = (): PacketFixtures =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../bpf/test/fixtures/packets.json'), 'utf8')) as PacketFixtures;
