import { describe, expect, it } from 'vitest';
import type { HostCounters, HostSample } from '../../../bridge/model.ts';
import { testCounters, testHosts, testSample } from '../../client/test-fleet.ts';
import { pathStagesOf } from './path-model.ts';
import type { PathStageView } from './path-model.ts';

const epoch = 1_700_000_000_000;
const [, flooded, host] = testHosts(epoch, 3);
if (host === undefined || flooded === undefined) throw new Error('there are no hosts');

const samples = (count: number): readonly HostSample[] =>
  Array.from({ length: count }, (_, index) => testSample(host, epoch + index * 2_000));
const counters = (count: number, of = host): readonly HostCounters[] =>
  Array.from({ length: count }, (_, index) => testCounters(of, epoch + index * 2_000));
const stage = (stages: readonly PathStageView[], id: string): PathStageView | undefined => stages.find((entry) => entry.id === id);

describe('the packet path', () => {
  it('goes from the wire to the way out and sets every drop at its stage', () => {
    const stages = pathStagesOf({ samples: samples(2), counters: counters(2), interface: null });
    expect(stages.map(({ id, perSecond }) => [id, perSecond])).toEqual([
      ['nic', 6_486_000],
      ['engine', 6_458_144],
      ['flow', 6_310_000],
      ['deny', 24_918],
      ['judged', 82_000],
      ['limit', 41_207],
      ['balance', 19_803],
      ['route', 19_800],
      ['out', 6_350_812],
    ]);
    expect(stage(stages, 'judged')?.drops).toEqual([{ reason: 'POLICY_DENY', perSecond: 41_207 }]);
  });

  it('asks deny lists before the flow table in flood mode', () => {
    const stages = pathStagesOf({ samples: samples(2), counters: counters(2, flooded), interface: null });
    expect(stages.map(({ id }) => id).slice(2, 4)).toEqual(['deny', 'flow']);
    expect(stage(stages, 'deny')?.note).toBe('asked first: flood mode');
  });

  it('has no number of its own readings before there are two', () => {
    const stages = pathStagesOf({ samples: samples(1), counters: counters(1), interface: null });
    for (const id of ['nic', 'judged', 'balance', 'route']) expect(stage(stages, id)?.perSecond, id).toBeNull();
    expect(pathStagesOf({ samples: [], counters: [], interface: null }).every(({ perSecond }) => perSecond === null)).toBe(true);
  });

  it('shows one interface from its own counters, and nothing that is only counted for all', () => {
    const grown = counters(2).map((reading, index) => ({
      ...reading,
      interfaces: [
        {
          name: 'eth0',
          reasons: [
            { reason: 'FLOW', dropped: false, packets: index * 2_000, bytes: 0 },
            { reason: 'FRAGMENT_UNKNOWN', dropped: true, packets: index * 40, bytes: 0 },
          ],
        },
      ],
    }));
    const stages = pathStagesOf({ samples: samples(2), counters: grown, interface: 'eth0' });
    expect(stage(stages, 'engine')).toMatchObject({ perSecond: 1_020, note: 'xdp-native' });
    expect(stage(stages, 'flow')).toMatchObject({ perSecond: 1_000, drops: [{ reason: 'FRAGMENT_UNKNOWN', perSecond: 20 }] });
    expect(stage(stages, 'route')?.perSecond).toBeNull();
  });
});
