import { NestError } from '../../../proto/model/error.ts';
import { isDropped } from '../../../proto/model/reason.ts';
import { addressFromBytes, isWithin, networkOf, parsePrefix } from '../../engine/api.ts';
import type { FlowRecord, Prefix } from '../../engine/api.ts';
import type { FlowFilter } from './api.ts';
import { judgeRecord, mappingOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

export type FlowMatch = (record: FlowRecord) => boolean;

/** The filter as a test of records. Raises INPUT_INVALID for an address that is none. */
export const flowMatch = (filter: FlowFilter, names: FlowNames): FlowMatch => {
  const tests: FlowMatch[] = [];
  const { address, port, mapping, verdict } = filter;
  if (port !== undefined) tests.push((record) => record.destinationPort === port || record.sourcePort === port);
  if (verdict !== undefined) tests.push((record) => isDropped(record.reason) === (verdict === 'denied'));
  if (address !== undefined) tests.push(addressTest(address));
  if (mapping !== undefined) tests.push((record) => mappingOf(record, names, judgeRecord(record, names.image())) === mapping);
  return (record) => tests.every((test) => test(record));
};

const addressTest = (text: string): FlowMatch => {
  const prefix = parsePrefix(text);
  if (prefix === undefined)
    throw new NestError(
      'INPUT_INVALID',
      `${JSON.stringify(text.slice(0, 63))} is not an address or CIDR: write for instance 198.18.4.0/24 or 2001:db8:4::7.`,
    );
  const network = networkOf(prefix);
  return (record) => record.family === network.family && (isIn(record.source, network) || isIn(record.destination, network));
};

const isIn = (bytes: Uint8Array, network: Prefix): boolean => {
  const address = addressFromBytes(bytes);
  return address !== undefined && isWithin({ ...address, length: bytes.length * 8 }, network);
};
