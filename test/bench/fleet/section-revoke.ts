/** An owner locks an operator who is connected to a thousand agents: how long until the last of his streams is cut. */
import { issueOperator, operatorSlug } from '../../../desktop/core/authority/fleet-authority.ts';
import { systemRandom } from '../../../desktop/lib/api.ts';
import { toRow } from '../report.ts';
import type { CutFigures } from './console-orders.ts';
import { agents, rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const secondsMax = 1;
const revokedName = 'leaving';
const settleMs = 1_000;

export const revokeSection: FleetSection = {
  name: 'revoke',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents });
    const all = { from: 0, to: agents };
    const subject = `operator/${operatorSlug(revokedName)}`;
    const operator = await issueOperator({ ...fleet.keys, operatorName: revokedName }, { now: Date.now(), random: systemRandom });
    await using owner = await bench.console(fleet, all);
    await owner.order('connect', {});
    await owner.order('govern', { change: null });
    await owner.order('govern', { change: { kind: 'operator.put', subject, title: 'Leaves' } });
    await owner.order('govern', { change: { kind: 'binding.add', subject, role: 'viewer', level: '*' } });
    const figures: (CutFigures & { readonly at: number })[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await using leaving = await bench.console(fleet, all, { operator });
      await leaving.order('connect', {});
      await leaving.order('steady', { ms: settleMs });
      await leaving.order('watchCut', {});
      const [{ at, lockId }, cut] = await Promise.all([
        owner.order('govern', { change: { kind: 'lock', target: subject, reason: 'left' } }),
        leaving.order('cut', {}),
      ]);
      figures.push({ ...cut, at });
      bench.progress(`revoke ${round + 1} of ${rounds}: ${Math.round(cut.lastAt - at)} ms`);
      await owner.order('govern', { change: { kind: 'unlock', id: lockId } });
    }
    return [
      toRow({
        figure: 'operator locked: last of 1,000 streams cut',
        unit: 's',
        samples: figures.map(({ at, lastAt }) => (lastAt - at) / 1000),
        target: { op: '<=', value: secondsMax },
      }),
      toRow({
        figure: 'operator locked: half of the streams cut',
        unit: 's',
        samples: figures.map(({ at, medianAt }) => (medianAt - at) / 1000),
      }),
      toRow({
        figure: 'operator locked: streams that were told why',
        unit: '%',
        samples: figures.map(({ told }) => (told / agents) * 100),
      }),
    ];
  },
};
