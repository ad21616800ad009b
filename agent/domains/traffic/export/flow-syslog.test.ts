import { describe, expect, it } from 'vitest';
import { flowMessage } from './flow-syslog.ts';
import { testFlow } from './test-records.ts';
import type { RecordFields } from './test-records.ts';

const full = { source: '198.19.7.1', destination: '198.19.7.10', sourcePort: 33_000, destinationPort: 8443, flags: 3 };

describe('the message of a flow', () => {
  const translation = (fields: Partial<RecordFields>): readonly unknown[] => {
    const { data } = flowMessage(testFlow({ kind: 'start', ...fields }), '');
    return data.parameters.filter(([name]) => name.startsWith('translated') || name === 'backend');
  };

  it('says where its packets go on to, as whose, and to which backend', () => {
    const ends = [
      ['translatedSource', '198.19.7.1'],
      ['translatedDestination', '198.19.7.10'],
    ];
    const ports = [
      ['translatedSourcePort', 33_000],
      ['translatedDestinationPort', 8443],
    ];
    expect(translation({ rewritten: full, backend: 1 })).toEqual([...ends, ...ports, ['backend', 'web-2']]);
    expect(translation({ rewritten: full })).toEqual([...ends, ...ports]);
    expect(translation({ rewritten: full, protocol: 1 })).toEqual([...ends, ['translatedIdentifier', 33_000]]);
  });

  it('names the backend alone where packets keep their addresses', () => {
    expect(translation({ rewritten: { ...full, flags: 8 }, backend: 1 })).toEqual([['backend', 'web-2']]);
    // Connected to the backend by its process.
    expect(translation({ destination: '198.19.7.10', backend: 1 })).toEqual([['backend', 'web-2']]);
  });

  it('says nothing of it otherwise', () => {
    expect(translation({})).toEqual([]);
  });
});
