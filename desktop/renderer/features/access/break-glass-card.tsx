/** Grants in force as the hosts say, using one on this console, and how to make one. */
import { useState } from 'react';
import { Link } from 'react-router';
import type { GrantUse } from '../../../bridge/model.ts';
import { hostLink } from '../../client/links.ts';
import { useUseGrantMutation } from '../../client/mfa-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet, useNow } from '../../client/shell.tsx';
import { countOf, formatCountdown, formatDateTime } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConfirmButton } from '../../widgets/confirm-button.tsx';
import { CopyText } from '../../widgets/copy-text.tsx';
import { TextField } from '../../widgets/field.tsx';

const sealCommand = 'nest break-glass seal owner.seal';
const grantCommand = 'nest break-glass grant owner.seal --host <host> --for <operator> --hours 0.5 --reason "why" --out grant.txt';
const cosignCommand = 'nest break-glass cosign other.seal grant.txt --out both.txt';

export const BreakGlassCard = () => (
  <Card title="Break glass" testId="break-glass">
    <div className="stack">
      <p>
        For the day nothing else works: an owner’s key from the safe lets one person do everything on one host or cluster, for an hour at
        most.
      </p>
      <InForce />
      <Unheard />
      <UseGrant />
      <details>
        <summary>How to make a grant</summary>
        <div className="stack">
          <p>Beforehand, on the console of each owner. Put the file into a safe, and its passphrase elsewhere:</p>
          <CopyText text={sealCommand} label="command that seals a key" />
          <p>
            When it is needed, with the file from the safe, on any computer with Nest and without a network. <code>--cluster</code> instead
            of <code>--host</code> for all hosts of a cluster:
          </p>
          <CopyText text={grantCommand} label="command that makes a grant" />
          <p>When several owners must sign, the next one adds a signature:</p>
          <CopyText text={cosignCommand} label="command that adds a signature" />
          <p className="dim">
            A grant ends by itself. To end it before, lock the operator or the device on this page: a lock always wins. Hosts note each use
            in their audit logs.
          </p>
        </div>
      </details>
    </div>
  </Card>
);

const InForce = () => {
  const fleet = useFleet();
  const now = useNow();
  const uses = fleet.rows
    .flatMap(({ name, hostId, breakGlass = [] }) => breakGlass.map((use) => ({ ...use, name, hostId })))
    .filter(({ until }) => until > now)
    .toSorted((left, right) => left.until - right.until);
  if (uses.length === 0) return <p className="dim">Nobody works under a grant now.</p>;
  return (
    <table className="table" data-testid="break-glass-uses">
      <thead>
        <tr>
          <th scope="col">Host</th>
          <th scope="col">Who</th>
          <th scope="col">Since</th>
          <th scope="col">Ends in</th>
          <th scope="col">Reason</th>
        </tr>
      </thead>
      <tbody>
        {uses.map(({ hostId, name, grantId, operator, since, until, reason }) => (
          <tr key={`${hostId} ${grantId}`}>
            <td>
              <Link to={hostLink(hostId)}>{name}</Link>
            </td>
            <td className="mono">{operator}</td>
            <td>{formatDateTime(since)}</td>
            <td className="crit">{formatCountdown(until - now)}</td>
            <td>{reason}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
};

/** A host that does not answer may have been given a grant since it was heard. */
const Unheard = () => {
  const away = useFleet().rows.filter(({ state }) => state === 'offline' || state === 'connecting').length;
  if (away === 0) return null;
  return (
    <p className="dim" data-testid="grants-unheard">
      {countOf(away, 'host')} {away === 1 ? 'does' : 'do'} not answer: shown is what was said last.
    </p>
  );
};

const UseGrant = () => {
  const [use, { isLoading, error, data }] = useUseGrantMutation();
  const [grant, setGrant] = useState('');
  const failure = failureOf(error);
  const send = async (): Promise<void> => {
    const { data: uses } = await use({ grant: grant.trim() });
    if (uses !== undefined) setGrant('');
  };
  return (
    <div className="stack">
      <TextField
        label="Use a grant that was made for you"
        value={grant}
        onValue={setGrant}
        isMono
        hint="The text of the grant file."
        testId="grant-text"
      />
      <div>
        <ConfirmButton
          label={isLoading ? 'Showing it to the hosts…' : 'Use it…'}
          question="Use this grant?"
          act="Use it"
          isSmall={false}
          disabled={isLoading || grant.trim() === ''}
          onConfirm={() => void send()}
        >
          <p>From then on this console may do everything there, without a second factor. Every console shows it until it ends.</p>
        </ConfirmButton>
      </div>
      {failure === null ? null : <FailureView failure={failure} />}
      {data === undefined || failure !== null ? null : <Answers uses={data} />}
    </div>
  );
};

const Answers = ({ uses }: { readonly uses: readonly GrantUse[] }) => (
  <ul data-testid="grant-answers">
    {uses.map(({ hostId, hostName, until, problem }) => (
      <li key={hostId} className={problem === null ? '' : 'warn'}>
        {hostName}: {problem === null ? `in force until ${until === null ? 'its end' : formatDateTime(until)}` : problem.message}
      </li>
    ))}
  </ul>
);
