import { isDropped } from '../../../proto/model/reason.ts';
import { mappingDefault, recordKinds } from '../../engine/api.ts';
import type { FlowRecord, Judgement, PolicyImage } from '../../engine/api.ts';
import type { Flow, Translation } from './api.ts';

/** What turns indices of a record into names. */
export interface FlowNames {
  wallTimeMs(timeNs: bigint): number;
  /** Name by mapping index under a sequence; undefined when that sequence is not known any more. */
  mappingName(sequence: number, mapping: number): string | undefined;
  revisionOf(sequence: number): number;
  interfaceName(index: number): string;
  /** Of the policy in force, by where it is; empty when that has none there. */
  backendName(mapping: string, address: string, port: number): string;
  /** The policy in force; null when it is not known. */
  image(): PolicyImage | null;
}

/** The flow of a record, with names. `firstTimeNs`: when it was first seen, where the record itself does not tell. */
export const flowOf = (record: FlowRecord, names: FlowNames, firstTimeNs = record.timeNs): Flow => {
  const { reason } = record;
  const judged = judgeRecord(record, names.image());
  const lastSeenMs = names.wallTimeMs(record.timeNs);
  const isAllowed = !isDropped(reason);
  const mapping = mappingOf(record, names, judged);
  return {
    source: record.sourceText,
    destination: record.destinationText,
    sourcePort: record.sourcePort,
    destinationPort: record.destinationPort,
    protocol: record.protocol,
    state: stateOf(record.kind, isAllowed),
    allowed: isAllowed,
    reason,
    mapping,
    interface: names.interfaceName(record.interfaceIndex),
    forward: record.forward,
    reverse: record.reverse,
    firstSeenMs: record.ageMs === null ? names.wallTimeMs(firstTimeNs) : lastSeenMs - record.ageMs,
    lastSeenMs,
    revision: names.revisionOf(record.sequence),
    sourceServices: judged?.sourceServices ?? [],
    destinationServices: judged?.destinationServices ?? [],
    translation: translationOf(record, mapping, names),
  };
};

/** Where the packets of a flow of the mapping go, and as whose; null: as they came. */
export const translationOf = (record: FlowRecord, mapping: string, names: FlowNames): Translation | null => {
  const { translated, backend } = record;
  if (translated === null && backend === null) return null;
  const { sourceText, destinationText, sourcePort, destinationPort } = translated ?? record;
  return {
    source: sourceText,
    destination: destinationText,
    sourcePort,
    destinationPort,
    backend: backend === null ? '' : names.backendName(mapping, backend.addressText, backend.port),
  };
};

/** The verdict of an image on the first packet of the record's flow; undefined when there is no image or the record is not of IP. */
export const judgeRecord = (record: FlowRecord, image: PolicyImage | null): Judgement | undefined => {
  if (image === null || (record.family !== 4 && record.family !== 6)) return undefined;
  return image.judge({
    source: record.source,
    destination: record.destination,
    protocol: record.protocol,
    destinationPort: record.destinationPort,
  });
};

/** Mapping of a record; when its policy is forgotten, the one that decides about its next packet. */
export const mappingOf = (record: FlowRecord, names: FlowNames, judged: Judgement | undefined): string => {
  if (record.mapping === mappingDefault) return '';
  return names.mappingName(record.sequence, record.mapping) ?? judged?.mapping ?? '';
};

/** How a record's flow ended, or that it has not. */
export const stateOf = (kind: number, isAllowed: boolean): Flow['state'] => {
  if (kind === recordKinds.deny) return 'denied';
  if (kind === recordKinds.end) return 'ended';
  return isAllowed ? 'live' : 'cut';
};
