/** "Is it on a list?": the shown prefixes answer for what they hold, and the host's tracer for all of them. */
import Button from '@mui/material/Button';
import { Search } from 'lucide-react';
import { useState } from 'react';
import { isInNetwork, readNetwork } from '../../../bridge/address-text.ts';
import type { Network } from '../../../bridge/address-text.ts';
import type { DenyListTable, HostSample, Trace } from '../../../bridge/model.ts';
import { useTraceMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { TextField } from '../../widgets/field.tsx';

interface DenySearchCardProps {
  readonly hostId: string;
  readonly table: DenyListTable;
  readonly sample: HostSample | null;
  readonly onChoose: (list: string) => void;
}

/** Addresses of documentation (RFC 5737, 3849): the other side of the packet that is traced. */
const otherSide = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;

export const DenySearchCard = ({ hostId, table, sample, onChoose }: DenySearchCardProps) => {
  const [text, setText] = useState('');
  const [asked, setAsked] = useState<string | null>(null);
  const [trace, { data, error, isLoading, reset }] = useTraceMutation();
  const network = text.trim() === '' ? null : readNetwork(text.trim());
  const through = sample?.interfaces.find(({ engine }) => engine !== null)?.name;
  const failure = failureOf(error);
  const change = (next: string): void => {
    setText(next);
    setAsked(null);
    reset();
  };
  const submit = (): void => {
    if (network === null || typeof network === 'string') return;
    setAsked(text.trim());
    if (isAddress(network) && through !== undefined && table.live)
      void trace({
        hostId,
        interface: through,
        packet: { protocol: 'udp', source: text.trim(), destination: otherSide[network.family], sourcePort: 9, destinationPort: 9 },
      });
  };
  return (
    <Card title="Is it on a list?" testId="deny-search">
      <form
        className="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <TextField
          label="Address or CIDR"
          value={text}
          onValue={change}
          placeholder="198.18.66.6"
          isMono
          faults={typeof network === 'string' ? [{ severity: 'error', message: network }] : []}
          testId="deny-search-text"
        />
        <div>
          <Button
            type="submit"
            variant="outlined"
            size="small"
            startIcon={<Search size={14} />}
            disabled={network === null || typeof network === 'string' || isLoading}
          >
            {isLoading ? 'Asking…' : 'Look'}
          </Button>
        </div>
        <div aria-live="polite" data-testid="deny-answer">
          {asked === null || network === null || typeof network === 'string' || isLoading ? null : (
            <Answer network={network} table={table} trace={data} onChoose={onChoose} />
          )}
        </div>
        {failure === null ? null : <FailureView failure={failure} />}
      </form>
    </Card>
  );
};

const isAddress = ({ family, length }: Network): boolean => length === (family === 4 ? 32 : 128);

interface AnswerProps {
  readonly network: Network;
  readonly table: DenyListTable;
  readonly trace: Trace | undefined;
  readonly onChoose: (list: string) => void;
}

const Answer = ({ network, table, trace, onChoose }: AnswerProps) => {
  const found = table.lists.flatMap((list) =>
    list.firstPrefixes
      .filter((prefix) => {
        const outer = readNetwork(prefix);
        return typeof outer !== 'string' && isInNetwork(network, outer);
      })
      .map((prefix) => ({ list: list.name, prefix })),
  );
  const step = trace?.steps.find(({ stage }) => stage === 'deny');
  const isDenied = trace?.reason === 'DENY_LIST';
  const isWhole = table.lists.every(({ prefixes, firstPrefixes }) => prefixes <= firstPrefixes.length);
  return (
    <div className="stack tight">
      {found.map(({ list, prefix }) => (
        <p key={`${list} ${prefix}`}>
          <span className="crit strong">Yes:</span> in <span className="mono">{prefix}</span> of{' '}
          <button type="button" className="link-button mono" onClick={() => onChoose(list)}>
            {list}
          </button>
        </p>
      ))}
      {isDenied && found.length === 0 ? (
        <p>
          <span className="crit strong">Yes.</span> {step?.detail ?? trace.sentence}
        </p>
      ) : null}
      {found.length === 0 && !isDenied ? <Negative isCertain={trace !== undefined || isWhole} /> : null}
      {trace === undefined ? null : <p className="dim">Asked of the tables in force, by a packet that is not sent.</p>}
    </div>
  );
};

const Negative = ({ isCertain }: { readonly isCertain: boolean }) =>
  isCertain ? (
    <p>
      <span className="ok strong">No</span>, it is on none.
    </p>
  ) : (
    <p>
      <span className="warn strong">Not among the prefixes shown</span>; longer lists are only searched for a single address while the host
      answers.
    </p>
  );
