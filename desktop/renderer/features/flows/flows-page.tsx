/** Flows of any host: choose one, then filter. */
import { ServerCog } from 'lucide-react';
import { useSearchParams } from 'react-router';
import { useFleet } from '../../client/shell.tsx';
import { Blank, Bones } from '../../widgets/blank.tsx';
import { FlowExplorer } from '../../widgets/flow-explorer.tsx';
import { Page } from '../../widgets/page.tsx';

export const FlowsPage = () => {
  const fleet = useFleet();
  const [search, setSearch] = useSearchParams();
  const wanted = search.get('host');
  const host = wanted === null ? fleet.rows[0] : fleet.row(wanted);
  const choice =
    fleet.rows.length === 0 ? undefined : (
      <select
        className="input"
        style={{ width: 220 }}
        aria-label="Host"
        value={host?.hostId ?? ''}
        onChange={(event) =>
          setSearch((previous) => {
            previous.set('host', event.target.value);
            return previous;
          })
        }
        data-testid="flows-host"
      >
        {host === undefined ? <option value="">choose a host</option> : null}
        {fleet.rows.map((row) => (
          <option key={row.hostId} value={row.hostId}>
            {row.name}
          </option>
        ))}
      </select>
    );
  return (
    <Page title="Flows" about={choice}>
      {fleet.at === null ? (
        <Bones label="Loading hosts" />
      ) : host === undefined ? (
        <NoHost />
      ) : (
        <FlowExplorer key={host.hostId} hostId={host.hostId} />
      )}
    </Page>
  );
};

const NoHost = () => (
  <div className="card fill">
    <Blank title="No host to look at" icon={<ServerCog size={28} aria-hidden="true" />}>
      Flows are seen by hosts: add one first, on the Hosts page.
    </Blank>
  </div>
);
