/** The packet tracer: a packet is judged by the program and tables that run on the host, without touching traffic. */
import { Crosshair, ServerCog } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { useSearchParams } from 'react-router';
import type { HostRow } from '../../../bridge/model.ts';
import { useDraftQuery, useTraceMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet, useNow } from '../../client/shell.tsx';
import { Blank, Bones, FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { Page } from '../../widgets/page.tsx';
import { DraftCard } from './draft-card.tsx';
import { PacketForm } from './packet-form.tsx';
import { TraceResult } from './trace-result.tsx';
import { faultsOf, formOfSearch, inputOf, isFilled } from './trace-form.ts';
import type { TraceForm } from './trace-form.ts';

export const TracePage = () => {
  const fleet = useFleet();
  const [search] = useSearchParams();
  if (fleet.at === null) return <Page title="Packet tracer">{<Bones label="Loading hosts" />}</Page>;
  if (fleet.rows.length === 0) {
    return (
      <Page title="Packet tracer">
        <div className="card fill">
          <Blank title="No host to trace on" icon={<ServerCog size={28} aria-hidden="true" />}>
            The tracer asks a host’s live program, or its last policy when it is away. Add a host first, on the Hosts page.
          </Blank>
        </div>
      </Page>
    );
  }
  return <TraceView key={search.toString()} search={search} />;
};

const aboutHost = ({ name, state }: HostRow): string =>
  `${name} · ${state === 'offline' ? 'does not answer: judged here by its last policy' : 'live program, live tables'}`;

const TraceView = ({ search }: { readonly search: URLSearchParams }) => {
  const fleet = useFleet();
  const now = useNow();
  const [form, setForm] = useState<TraceForm>(() => {
    const asked = formOfSearch(search);
    return asked.hostId === '' ? { ...asked, hostId: fleet.rows[0]?.hostId ?? '' } : asked;
  });
  const { data: draft } = useDraftQuery({});
  const [trace, { data, error, isLoading, originalArgs }] = useTraceMutation();
  const [isShowingFaults, setShowingFaults] = useState(false);
  const faults = faultsOf(form);
  const host = fleet.row(form.hostId);
  const run = (): void => {
    setShowingFaults(true);
    if (Object.keys(faults).length > 0) return;
    void trace(inputOf(form, form.withDraft && draft !== null ? draft?.policy : undefined));
  };
  // A link that brings the whole packet is an order to trace it; once, when the draft is known.
  const isOrdered = useRef(isFilled(form));
  useEffect(() => {
    if (!isOrdered.current || draft === undefined) return;
    isOrdered.current = false;
    run();
  });
  const failure = failureOf(error);
  return (
    <Page title="Packet tracer" about={host === undefined ? undefined : aboutHost(host)}>
      <div className="tracer">
        <div className="column">
          <PacketForm
            form={form}
            onForm={setForm}
            faults={isShowingFaults ? faults : {}}
            hasDraft={draft !== null && draft !== undefined}
            isLoading={isLoading}
            onTrace={run}
          />
          <DraftCard trace={data} hasDraft={draft !== null && draft !== undefined} wasAsked={originalArgs?.draft !== undefined} />
        </div>
        <div className="column" aria-live="polite">
          {failure === null ? null : (
            <Card>
              <FailureView failure={failure} onRetry={run} />
            </Card>
          )}
          {data === undefined || originalArgs === undefined ? (
            failure === null ? (
              <div className="card">
                {isLoading ? (
                  <Bones label="Tracing" lines={6} />
                ) : (
                  <Blank title="No packet yet" icon={<Crosshair size={28} aria-hidden="true" />}>
                    Describe a packet at the left. The host judges it with the very program and tables that judge its traffic; nothing is
                    sent, nothing is counted.
                  </Blank>
                )}
              </div>
            ) : null
          ) : (
            <TraceResult trace={data} hostId={originalArgs.hostId} now={now} />
          )}
        </div>
      </div>
    </Page>
  );
};
