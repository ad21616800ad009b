/** One interface: what it is, which engines could serve it and why not, and the choice. */
import Button from '@mui/material/Button';
import { Check, CircleCheck, X } from 'lucide-react';
import { useState } from 'react';
import type { EngineChoice, EngineName, InterfaceRow } from '../../../bridge/model.ts';
import { countOf } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { EngineDialog } from './engine-dialog.tsx';
import { engineChoices, engineMeanings, engineTitles, probeOf, speedText } from './engine-words.ts';

interface InterfaceCardProps {
  readonly hostId: string;
  readonly row: InterfaceRow;
  readonly isLive: boolean;
}

export const InterfaceCard = ({ hostId, row, isLive }: InterfaceCardProps) => {
  const [wanted, setWanted] = useState<EngineName | null>(null);
  const [result, setResult] = useState<EngineChoice | null>(null);
  return (
    <div className="column">
      <Card title={<span className="mono">{row.name}</span>} aside={row.driver === '' ? 'no driver' : row.driver} testId="interface-card">
        <InterfaceFacts row={row} />
      </Card>
      <Card title="Engine" testId="engine-card">
        <EngineNow row={row} result={result} />
        {row.engineChoice === null && row.engines.length === 0 ? null : <EngineChoices row={row} isLive={isLive} onWanted={setWanted} />}
      </Card>
      {wanted === null ? null : (
        <EngineDialog hostId={hostId} row={row} choice={wanted} onDone={setResult} onClose={() => setWanted(null)} />
      )}
    </div>
  );
};

const InterfaceFacts = ({ row }: { readonly row: InterfaceRow }) => (
  <dl className="facts">
    <dt>Addresses</dt>
    <dd className="mono">
      {row.addresses.length === 0 ? <span className="off">none</span> : row.addresses.map((address) => <div key={address}>{address}</div>)}
    </dd>
    <dt>MAC</dt>
    <dd className="mono">{row.macAddress}</dd>
    <dt>Queues</dt>
    <dd>{row.receiveQueues === null ? '–' : `${String(row.receiveQueues)} receive, ${String(row.sendQueues ?? 0)} send`}</dd>
    <dt>Speed</dt>
    <dd>{speedText(row.speedMbps)}</dd>
    <dt>NUMA node</dt>
    <dd>{row.numaNode === null ? <span className="off">none</span> : row.numaNode}</dd>
    <dt>SR-IOV</dt>
    <dd>
      {row.virtualFunctions === null ? (
        <span className="off">not a device that has it</span>
      ) : (
        `${countOf(row.virtualFunctions.used, 'function')} of ${String(row.virtualFunctions.max)} in use`
      )}
    </dd>
    <dt>XDP features</dt>
    <dd>{row.xdpFeatures ?? <span className="off">the kernel does not say</span>}</dd>
  </dl>
);

const EngineNow = ({ row, result }: { readonly row: InterfaceRow; readonly result: EngineChoice | null }) => (
  <div className="stack">
    <div>
      <div className="engine-now">{row.engine ?? 'none'}</div>
      {row.engineReason === null ? null : <p className="dim">{row.engineReason}</p>}
      {row.xdpProblem === null ? null : <p className="warn">{row.xdpProblem}</p>}
    </div>
    {result === null ? null : (
      <div className="callout ok" role="status" data-testid="engine-result">
        <CircleCheck size={16} aria-hidden="true" />
        <span>
          {result.engine === null ? (
            'No engine serves it now'
          ) : (
            <>
              Served by <strong className="mono">{result.engine}</strong> now
            </>
          )}
          {result.reason === '' ? '.' : `: ${result.reason}.`}
        </span>
      </div>
    )}
    {result === null || result.warning === '' ? null : (
      <div className="callout warn" role="alert" data-testid="engine-warning">
        {result.warning}
      </div>
    )}
  </div>
);

interface EngineChoicesProps {
  readonly row: InterfaceRow;
  readonly isLive: boolean;
  readonly onWanted: (choice: EngineName) => void;
}

const EngineChoices = ({ row, isLive, onWanted }: EngineChoicesProps) => (
  <ul className="engine-list" aria-label={`Engines of ${row.name}`}>
    {engineChoices.map((choice) => {
      const { isAvailable, reason } = probeOf(row, choice);
      const isTaken = row.engineChoice === choice;
      return (
        <li key={choice} data-testid={`engine-${choice}`} data-taken={isTaken}>
          <span className={isAvailable ? 'ok' : 'off'}>
            {isAvailable ? <Check size={15} aria-label="available" /> : <X size={15} aria-label="not available" />}
          </span>
          <div className="grow">
            <strong>{engineTitles[choice]}</strong>
            <div className="dim">{engineMeanings[choice]}</div>
            {reason === '' ? null : <div className={isAvailable ? 'dim' : 'warn'}>{reason}</div>}
          </div>
          {isTaken ? (
            <span className="chip sky">chosen</span>
          ) : (
            <Button
              variant="outlined"
              size="small"
              disabled={!isAvailable || !isLive}
              aria-label={`Choose ${engineTitles[choice]}`}
              onClick={() => onWanted(choice)}
            >
              Choose…
            </Button>
          )}
        </li>
      );
    })}
  </ul>
);
