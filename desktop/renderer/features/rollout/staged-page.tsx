/** One staged rollout: waves, gates with their figures, every host with its reason, and what can be done. */
import Button from '@mui/material/Button';
import { Link, useParams } from 'react-router';
import type { StagedHost, StagedRollout } from '../../../bridge/rollout-model.ts';
import {
  useAbortStagedMutation,
  usePauseStagedMutation,
  useResumeStagedMutation,
  useTakeOverStagedMutation,
  useWatchStagedQuery,
} from '../../client/bridge-api.ts';
import { hostLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatCountdown, formatTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { Page } from '../../widgets/page.tsx';
import { conductedWords, gateText, hostLooks, isRolloutOver, phaseLooks } from './staged-words.ts';
import type { Look } from './staged-words.ts';

export const StagedPage = () => {
  const { id = '' } = useParams();
  const { data } = useWatchStagedQuery({ rolloutId: id });
  const rollout = data?.value ?? null;
  return (
    <Page
      title={rollout?.name ?? 'Rollout'}
      about={
        rollout === null
          ? undefined
          : `${countOf(rollout.hosts.length, 'host')} · began ${formatTime(rollout.startedAt)} · by ${rollout.operator.slice(rollout.operator.lastIndexOf('/') + 1)}`
      }
    >
      <Outcome value={rollout} failure={data?.failure} label="Loading the rollout">
        {(shown) => <StagedView rollout={shown} />}
      </Outcome>
    </Page>
  );
};

const StagedView = ({ rollout }: { readonly rollout: StagedRollout }) => {
  const waves = Array.from({ length: rollout.waves }, (_, wave) => rollout.hosts.filter((host) => host.wave === wave));
  const { maxUnavailable, failuresMax, soakSeconds, rollback } = rollout.settings;
  return (
    <>
      <Card title="State" aside={<StagedActs rollout={rollout} />} testId="staged-state">
        <p data-testid="staged-phase" data-phase={rollout.phase}>
          <State look={phaseLooks[rollout.phase]} /> wave {rollout.wave + 1} of {rollout.waves}
          {isRolloutOver(rollout) ? '' : `, ${conductedWords[rollout.conducted]}`}
        </p>
        {rollout.reason === null ? null : (
          <p role="alert">
            <span className="mono crit">{rollout.reason.code}</span> {rollout.reason.message}
          </p>
        )}
        <p className="dim">
          At most {countOf(maxUnavailable, 'host')} at once, {soakSeconds} s soak, more than {countOf(failuresMax, 'failure')} stop it; a
          stop takes back {rollback === 'all' ? 'all waves' : 'the wave'}.
        </p>
      </Card>
      {waves.map((hosts, wave) => (
        // Waves have no name but their place.
        <Wave key={`wave-${String(wave)}`} number={wave + 1} hosts={hosts} />
      ))}
    </>
  );
};

export const State = ({ look: { tone, shape, word } }: { readonly look: Look }) => (
  <span className={`state ${tone}`}>
    <span className={shape} aria-hidden="true" />
    {word}
  </span>
);

const Wave = ({ number, hosts }: { readonly number: number; readonly hosts: readonly StagedHost[] }) => (
  <Card
    title={`Wave ${String(number)}`}
    aside={`${String(hosts.filter(({ state }) => state === 'kept').length)} of ${countOf(hosts.length, 'host')} kept`}
    isFlush
    testId="staged-wave"
  >
    <div className="table-scroll">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">State</th>
            <th scope="col">Revision</th>
            <th scope="col">Gates</th>
            <th scope="col">Reason</th>
          </tr>
        </thead>
        <tbody>
          {hosts.map((host) => (
            <HostLine key={host.hostId} host={host} />
          ))}
        </tbody>
      </table>
    </div>
  </Card>
);

const HostLine = ({ host }: { readonly host: StagedHost }) => (
  <tr className="row">
    <td>
      <Link className="mono" to={hostLink(host.hostId)}>
        {host.hostName}
      </Link>
    </td>
    <td data-testid="staged-host" data-state={host.state}>
      <State look={hostLooks[host.state]} />
      {host.soakLeftMs === null ? null : <span className="mono dim"> {formatCountdown(host.soakLeftMs)}</span>}
    </td>
    <td className="mono">
      {host.baseRevision === null ? '–' : String(host.baseRevision)} → {host.revision === null ? '–' : String(host.revision)}
    </td>
    <td className="wrap">
      {host.gates.map((gate) => (
        <div key={gate.gate} className={gate.verdict === 'breached' ? 'crit' : 'dim'} data-testid="staged-gate">
          {gateText(gate)}
        </div>
      ))}
    </td>
    <td className="wrap">
      {host.problem === null ? null : (
        <>
          <span className="mono crit">{host.problem.code}</span> {host.problem.message}
        </>
      )}
    </td>
  </tr>
);

const StagedActs = ({ rollout }: { readonly rollout: StagedRollout }) => {
  const [pause, pausing] = usePauseStagedMutation();
  const [resume, resuming] = useResumeStagedMutation();
  const [abort, aborting] = useAbortStagedMutation();
  const [takeOver, takingOver] = useTakeOverStagedMutation();
  const { rolloutId, phase, conducted } = rollout;
  const all = [pausing, resuming, aborting, takingOver];
  const isBusy = all.some(({ isLoading }) => isLoading);
  const failure = all.map(({ error }) => failureOf(error)).find((found) => found !== null) ?? null;
  const isForeign = conducted === 'elsewhere' || phase === 'yielded';
  const isLive = phase === 'running' || phase === 'paused';
  const isResumable = phase === 'paused' || (conducted === 'idle' && !isRolloutOver(rollout));
  return (
    <div className="acts">
      {isForeign && (isLive || phase === 'yielded' || phase === 'stopping' || phase === 'aborting') ? (
        <Button variant="outlined" disabled={isBusy} onClick={() => void takeOver({ rolloutId })}>
          Take over
        </Button>
      ) : null}
      {!isForeign && phase === 'running' && conducted !== 'idle' ? (
        <Button variant="outlined" disabled={isBusy} onClick={() => void pause({ rolloutId })}>
          Pause
        </Button>
      ) : null}
      {!isForeign && isResumable ? (
        <Button variant="contained" disabled={isBusy} onClick={() => void resume({ rolloutId })}>
          Resume
        </Button>
      ) : null}
      {!isForeign && isLive ? (
        <ConfirmButton
          label="Abort…"
          question={`Abort ${rollout.name}?`}
          act="Abort"
          isSmall={false}
          disabled={isBusy}
          onConfirm={() => void abort({ rolloutId })}
        >
          <p>
            {rollout.settings.rollback === 'all' ? 'Every host that was changed gets' : 'The hosts of the present wave get'} the policy of
            before back, and the rollout ends. It cannot be resumed.
          </p>
        </ConfirmButton>
      ) : null}
      {failure === null ? null : <FailureView failure={failure} />}
    </div>
  );
};
