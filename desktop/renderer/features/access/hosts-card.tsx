/** Where each host stands with the bundle. */
import type { AccessHostState, AccessView } from '../../../bridge/model.ts';
import { useNow } from '../../client/shell.tsx';
import { formatAge } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

const words: Readonly<Record<AccessHostState['state'], string>> = {
  current: 'has it',
  behind: 'not yet',
  stale: 'too old: changes wait',
  forked: 'on a fork',
  none: 'has none',
  unknown: 'not asked yet',
  unsupported: 'agent is too old',
  refused: 'refuses',
};

export const HostsCard = ({ view: { hosts } }: { readonly view: AccessView }) => {
  const now = useNow();
  return (
    <Card title="Hosts" testId="access-hosts">
      {hosts.length === 0 ? (
        <p className="dim">There are no hosts yet. A new one gets the bundle as soon as it is enrolled.</p>
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Bundle</th>
              <th scope="col">Number</th>
              <th scope="col">Asked</th>
            </tr>
          </thead>
          <tbody>
            {hosts.map(({ hostId, name, state, epoch, revision, checkedAt, problem }) => (
              <tr key={hostId}>
                <td>{name}</td>
                <td className={state === 'current' ? '' : state === 'forked' || state === 'refused' ? 'crit' : 'warn'}>
                  {words[state]}
                  {problem === null ? null : <div className="dim">{problem}</div>}
                </td>
                <td className="mono">
                  {revision === null || epoch === null || epoch === 0 ? '–' : `${String(revision)} in epoch ${String(epoch)}`}
                </td>
                <td>{checkedAt === null ? 'never' : `${formatAge(now - checkedAt)} ago`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
};
