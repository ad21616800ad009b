import { Link } from 'react-router';
import type { Rollout, RolloutHost } from '../../../bridge/model.ts';
import { hostLink } from '../../client/links.ts';
import { formatCountdown } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

const looks: Readonly<Record<RolloutHost['state'], { readonly tone: string; readonly shape: string; readonly word: string }>> = {
  waiting: { tone: 'off', shape: 'dot ring', word: 'Waiting' },
  applying: { tone: 'sky', shape: 'dot', word: 'Applying' },
  pending: { tone: 'warn', shape: 'dot triangle', word: 'Waits for your word' },
  confirmed: { tone: 'ok', shape: 'dot', word: 'Kept' },
  'rolled-back': { tone: 'warn', shape: 'dot square', word: 'Taken back' },
  failed: { tone: 'crit', shape: 'dot square', word: 'Failed' },
  unreachable: { tone: 'crit', shape: 'dot ring', word: 'Does not answer' },
};

/** Every host of a rollout. */
export const RolloutHosts = ({ rollout, now }: { readonly rollout: Rollout; readonly now: number }) => (
  <Card title="Hosts" isFlush testId="rollout-hosts">
    <div className="table-scroll">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">State</th>
            <th scope="col">Revision</th>
            <th scope="col" className="right">
              Taken back in
            </th>
            <th scope="col" className="right">
              Load
            </th>
            <th scope="col">Remark</th>
          </tr>
        </thead>
        <tbody>
          {rollout.hosts.map((host) => (
            <HostRow key={host.hostId} host={host} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  </Card>
);

const HostRow = ({ host, now }: { readonly host: RolloutHost; readonly now: number }) => {
  const { tone, shape, word } = looks[host.state];
  return (
    <tr className="row">
      <td>
        <Link className="mono" to={hostLink(host.hostId)}>
          {host.hostName}
        </Link>
      </td>
      <td data-testid="rollout-host-state" data-state={host.state}>
        <span className={`state ${tone}`}>
          <span className={shape} aria-hidden="true" />
          {word}
        </span>
      </td>
      <td className="mono">
        {host.previousRevision === null ? '–' : String(host.previousRevision)} → {host.revision === null ? '–' : String(host.revision)}
      </td>
      <td className="mono right">{host.state === 'pending' && host.rollbackAt !== null ? formatCountdown(host.rollbackAt - now) : '–'}</td>
      <td className="mono right">{host.loadMs === null ? '–' : `${host.loadMs.toFixed(host.loadMs < 10 ? 1 : 0)} ms`}</td>
      <td className="wrap">
        {host.problem === null ? null : (
          <>
            <span className="mono crit">{host.problem.code}</span> {host.problem.message}
          </>
        )}
      </td>
    </tr>
  );
};
