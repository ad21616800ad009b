import type { Engine, PolicyImage } from '../../engine/api.ts';
import type { Attachments } from './attachments.ts';
import type { CounterLedger } from './counter-ledger.ts';
import type { FlowNames } from './flow-view.ts';
import type { Steering } from './steering.ts';

interface NameSources {
  readonly engine: Engine;
  readonly instance: string;
  readonly ledger: CounterLedger;
  readonly steering: Steering;
  readonly attachments: () => Attachments;
  readonly image: () => PolicyImage | null;
}

/** Numbers of flow records as the names they had when they were counted. */
export const flowNamesOf = ({ engine, instance, ledger, steering, attachments, image }: NameSources): FlowNames => ({
  wallTimeMs: (timeNs) => engine.wallTimeMs(timeNs),
  mappingName: (sequence, mapping) => ledger.sequence(instance, sequence)?.mappings[mapping]?.name,
  revisionOf: (sequence) => ledger.revisionOf(instance, sequence),
  interfaceName: (index) => attachments().nameOf(index),
  backendName: (mapping, address, port) => steering.backendName(mapping, address, port),
  image,
});
