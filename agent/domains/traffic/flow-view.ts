import { isDropped } from '../../../proto/model/reason.ts';
import { mappingDefault, recordKinds } from '../../engine/api.ts';
import type { FlowRecord, Judgement, PolicyImage } from '../../engine/api.ts';
import type { Flow } from './api.ts';

/** What turns indices of a record into names. */
export interface FlowNames {
  wallTimeMs(timeNs: bigint): number;
  /** Name by mapping index under a sequence; undefined when that sequence is not known any more. */
  mappingName(sequence: number, mapping: number): string | undefined;
  revisionOf(sequence: number): number;
  interfaceName(index: number): string;
  /** The policy in force; null when it is not known. */
  image(): PolicyImage | null;
}

/** The flow of a record, with names. `firstTimeNs`: when it was first seen, where the record itself does not tell. */
export const flowOf = (record: FlowRecord, names: FlowNames, firstTimeNs = record.timeNs): Flow => {
  const { reason } = record;
  const judged = judgeRecord(record, names.image());
  const lastSeenMs = names.wallTimeMs(record.timeNs);
  const isAllowed = !isDropped(reason);
  return {
    source: record.sourceText,
    destination: record.destinationText,
    sourcePort: record.sourcePort,
    destinationPort: record.destinationPort,
    protocol: record.protocol,
    state: stateOf(record.kind, isAllowed),
    allowed: isAllowed,
    reason,
    mapping: mappingOf(record, names, judged),
    interface: names.interfaceName(record.interfaceIndex),
    forward: record.forward,
    reverse: record.reverse,
    firstSeenMs: record.ageMs === null ? names.wallTimeMs(firstTimeNs) : lastSeenMs - record.ageMs,
    lastSeenMs,
    revision: names.revisionOf(record.sequence),
    sourceServices: judged?.sourceServices ?? [],
    destinationServices: judged?.destinationServices ?? [],
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
