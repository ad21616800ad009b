import Button from '@mui/material/Button';
import { useEffect, useId } from 'react';
import type { ReactNode } from 'react';
import { useHostQuery } from '../../client/bridge-api.ts';
import { useFleet } from '../../client/shell.tsx';
import { Card } from '../../widgets/card.tsx';
import { Tabs } from '../../widgets/tabs.tsx';
import { protocols, tcpFlags } from './trace-form.ts';
import type { FormFaults, TraceForm } from './trace-form.ts';

interface PacketFormProps {
  readonly form: TraceForm;
  readonly onForm: (form: TraceForm) => void;
  readonly faults: FormFaults;
  readonly hasDraft: boolean;
  readonly isLoading: boolean;
  readonly onTrace: () => void;
}

export const PacketForm = ({ form, onForm, faults, hasDraft, isLoading, onTrace }: PacketFormProps) => {
  const set = (part: Partial<TraceForm>): void => onForm({ ...form, ...part });
  return (
    <Card title="Packet" testId="packet-form">
      <form
        className="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          onTrace();
        }}
      >
        <Tabs
          label="How the packet is given"
          current={form.mode}
          onChange={(mode) => set({ mode })}
          tabs={[
            { id: 'form', title: 'Form' },
            { id: 'hex', title: 'Hex' },
          ]}
        />
        <div className="beside">
          <PlaceFields form={form} onPart={set} faults={faults} />
          {form.mode === 'form' ? <HeaderFields form={form} onPart={set} faults={faults} /> : null}
        </div>
        {form.mode === 'hex' ? <HexField form={form} onPart={set} faults={faults} /> : null}
        {hasDraft ? (
          <label className="line">
            <input
              type="checkbox"
              checked={form.withDraft}
              onChange={(event) => set({ withDraft: event.target.checked })}
              data-testid="trace-with-draft"
            />
            Ask the draft too
          </label>
        ) : null}
        <div>
          <Button type="submit" variant="contained" disabled={isLoading} data-testid="trace-run">
            {isLoading ? 'Tracing…' : 'Trace'}
          </Button>
        </div>
      </form>
    </Card>
  );
};

interface PartProps {
  readonly form: TraceForm;
  readonly onPart: (part: Partial<TraceForm>) => void;
  readonly faults: FormFaults;
}

const Beside = ({
  label,
  fault,
  children,
}: {
  readonly label: string;
  readonly fault: string | undefined;
  readonly children: (id: string) => ReactNode;
}) => {
  const id = useId();
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <div className="field">
        {children(id)}
        {fault === undefined ? null : (
          <span className="fault" id={`${id}-fault`}>
            {fault}
          </span>
        )}
      </div>
    </>
  );
};

const TextPart = ({
  label,
  name,
  form,
  onPart,
  faults,
  placeholder,
}: PartProps & {
  readonly label: string;
  readonly name: 'source' | 'sourcePort' | 'destination' | 'destinationPort' | 'vlan';
  readonly placeholder?: string;
}) => (
  <Beside label={label} fault={faults[name]}>
    {(id) => (
      <input
        id={id}
        className="input mono"
        value={form[name]}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={faults[name] !== undefined}
        onChange={(event) => onPart({ [name]: event.target.value })}
        data-testid={`trace-${name}`}
      />
    )}
  </Beside>
);

const PlaceFields = ({ form, onPart, faults }: PartProps) => {
  const fleet = useFleet();
  const { currentData: detail } = useHostQuery({ hostId: form.hostId }, { skip: form.hostId === '' });
  const names = detail?.sample?.interfaces.map(({ name }) => name) ?? [];
  const first = detail?.sample?.interfaces.find(({ xdpMode }) => xdpMode !== null)?.name ?? names[0];
  useEffect(() => {
    if (form.interface === '' && first !== undefined) onPart({ interface: first });
  });
  return (
    <>
      <Beside label="Host" fault={faults.hostId}>
        {(id) => (
          <select
            id={id}
            className="input"
            value={form.hostId}
            onChange={(event) => onPart({ hostId: event.target.value, interface: '' })}
            data-testid="trace-host"
          >
            {fleet.rows.map((host) => (
              <option key={host.hostId} value={host.hostId}>
                {host.name}
              </option>
            ))}
          </select>
        )}
      </Beside>
      <Beside label="Interface" fault={faults.interface}>
        {(id) => (
          <select
            id={id}
            className="input"
            value={form.interface}
            onChange={(event) => onPart({ interface: event.target.value })}
            data-testid="trace-interface"
          >
            {names.includes(form.interface) ? null : (
              <option value={form.interface}>{form.interface === '' ? 'choose' : form.interface}</option>
            )}
            {names.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
      </Beside>
    </>
  );
};

const HeaderFields = ({ form, onPart, faults }: PartProps) => {
  const props = { form, onPart, faults };
  const hasPorts = form.protocol !== 'icmp';
  return (
    <>
      <Beside label="Protocol" fault={undefined}>
        {(id) => (
          <div className="line">
            <select
              id={id}
              className="input"
              value={form.protocol}
              onChange={(event) => onPart({ protocol: protocols.find((name) => name === event.target.value) ?? 'tcp' })}
              data-testid="trace-protocol"
            >
              {protocols.map((name) => (
                <option key={name} value={name}>
                  {name.toUpperCase()}
                </option>
              ))}
            </select>
            {form.protocol === 'tcp' ? (
              <select
                className="input"
                aria-label="TCP flags"
                value={form.flags}
                onChange={(event) => onPart({ flags: tcpFlags.find((name) => name === event.target.value) ?? 'syn' })}
                data-testid="trace-flags"
              >
                {tcpFlags.map((name) => (
                  <option key={name} value={name}>
                    {name.toUpperCase()}
                  </option>
                ))}
              </select>
            ) : null}
          </div>
        )}
      </Beside>
      <TextPart {...props} label="Source" name="source" placeholder="198.18.31.17" />
      {hasPorts ? <TextPart {...props} label="Source port" name="sourcePort" placeholder="any free one" /> : null}
      <TextPart {...props} label="Destination" name="destination" placeholder="198.18.7.40" />
      {hasPorts ? <TextPart {...props} label="Port" name="destinationPort" placeholder="443" /> : null}
      <TextPart {...props} label="VLAN" name="vlan" placeholder="none" />
    </>
  );
};

const HexField = ({ form, onPart, faults }: PartProps) => (
  <div className="field">
    <label htmlFor="trace-hex">Bytes from the Ethernet header on</label>
    <textarea
      id="trace-hex"
      className="input mono"
      rows={8}
      spellCheck={false}
      value={form.hex}
      aria-invalid={faults.hex !== undefined}
      onChange={(event) => onPart({ hex: event.target.value })}
      placeholder="02 00 00 00 00 01 02 00 00 00 00 0a 08 00 45 00 …"
      data-testid="trace-hex"
    />
    {faults.hex === undefined ? null : <span className="fault">{faults.hex}</span>}
  </div>
);
