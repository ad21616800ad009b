import { NestError } from '../../../proto/model/error.ts';
import { isDropped } from '../../../proto/model/reason.ts';
import { addressFromBytes, isWithin, networkOf, parsePrefix } from '../../engine/api.ts';
import type { FlowRecord } from '../../engine/api.ts';
import type { FlowFilter } from './api.ts';
import { judgeRecord, mappingOf, stateOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

export type FlowMatch = (record: FlowRecord) => boolean;

/** The filter as a test of records. Raises INPUT_INVALID for an address that is none. */
export const flowMatch = (filter: FlowFilter, names: FlowNames): FlowMatch => {
  const tests: FlowMatch[] = [];
  const { address, source, destination, port, protocol, mapping, interface: link, verdict, state, reason } = filter;
  if (port !== undefined) tests.push((record) => record.destinationPort === port || record.sourcePort === port);
  if (verdict !== undefined) tests.push((record) => isDropped(record.reason) === (verdict === 'denied'));
  if (protocol !== undefined) tests.push((record) => record.protocol === protocol);
  if (reason !== undefined) tests.push((record) => record.reason === reason);
  if (state !== undefined) tests.push((record) => stateOf(record.kind, !isDropped(record.reason)) === state);
  if (link !== undefined) tests.push((record) => names.interfaceName(record.interfaceIndex) === link);
  if (address !== undefined) {
    const isIn = prefixTest(address);
    tests.push((record) => isIn(record.family, record.source) || isIn(record.family, record.destination));
  }
  if (source !== undefined) {
    const isIn = prefixTest(source);
    tests.push((record) => isIn(record.family, record.source));
  }
  if (destination !== undefined) {
    const isIn = prefixTest(destination);
    tests.push((record) => isIn(record.family, record.destination));
  }
  if (mapping !== undefined) tests.push((record) => mappingOf(record, names, judgeRecord(record, names.image())) === mapping);
  return (record) => tests.every((test) => test(record));
};

const prefixTest = (text: string): ((family: number, address: Uint8Array) => boolean) => {
  const prefix = parsePrefix(text);
  if (prefix === undefined)
    throw new NestError(
      'INPUT_INVALID',
      `${JSON.stringify(text.slice(0, 63))} is not an address or CIDR: write for instance 198.18.4.0/24 or 2001:db8:4::7.`,
    );
  const network = networkOf(prefix);
  return (family, bytes) => {
    const address = family === network.family ? addressFromBytes(bytes) : undefined;
    return address !== undefined && isWithin({ ...address, length: bytes.length * 8 }, network);
  };
};
