import { describe, expect, it } from 'vitest';
import { testHosts } from '../../client/test-fleet.ts';
import { parseHostFilter } from './host-filter.ts';

const hosts = testHosts(1_700_000_000_000);
const namesOf = (text: string): readonly string[] => hosts.filter(parseHostFilter(text).test).map(({ name }) => name);

describe('the host filter', () => {
  it('lets every host pass when it is empty', () => {
    expect(namesOf('  ')).toHaveLength(hosts.length);
  });

  it('asks for all of its terms', () => {
    expect(namesOf('label:lon1 state:degraded drops>0')).toEqual(['edge-lon-013']);
    expect(namesOf('label:ams1 state:degraded')).toEqual([]);
  });

  it('compares labels and states whole, other fields by part', () => {
    expect(namesOf('label:ams')).toEqual([]);
    expect(namesOf('engine:generic').length).toBeGreaterThan(0);
    expect(namesOf('name:LON-013')).toEqual(['edge-lon-013']);
  });

  it('compares numbers with factors', () => {
    expect(namesOf('drops>=41.2k')).toEqual(['edge-lon-013']);
    expect(namesOf('cpu>200')).toEqual([]);
  });

  it('never matches a number that was not measured, in either direction', () => {
    const connecting = hosts.find(({ state }) => state === 'connecting');
    expect(namesOf('drops>=0')).not.toContain(connecting?.name);
    expect(namesOf('drops<1M')).not.toContain(connecting?.name);
  });

  it('turns a term around after a minus', () => {
    expect(namesOf('-label:ams1 -label:fra2').every((name) => name.startsWith('edge-lon'))).toBe(true);
  });

  it('searches words in names, addresses and labels, and keeps quoted blanks', () => {
    expect(namesOf('198.18.0.13')).toEqual(['edge-lon-013']);
    expect(namesOf('"egress edge"')).toEqual([]);
  });

  it('says what it does not understand and goes on with the rest', () => {
    const filter = parseHostFilter('colour>3 drops>much label:lon1');
    expect(filter.problems).toEqual([expect.stringContaining('There is no number "colour"'), expect.stringContaining('drops>10')]);
    expect(filter.termCount).toBe(1);
  });
});
