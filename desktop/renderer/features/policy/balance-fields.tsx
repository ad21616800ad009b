/** What a balancing mapping says beside its match: servers, how packets reach them, how they are checked. */
import Button from '@mui/material/Button';
import { Plus, Trash2 } from 'lucide-react';
import { backendStates, freeName } from '../../client/policy-document.ts';
import type { BackendDraft, HealthCheckDraft, MappingDraft } from '../../client/policy-document.ts';
import { Choice, SelectField, TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { replaced, withField } from './entry-parts.tsx';
import type { FaultsOf } from './entry-parts.tsx';
import { NumberField } from './number-field.tsx';

export interface MappingPartProps {
  readonly mapping: MappingDraft;
  readonly faults: FaultsOf;
  /** `key` joins consecutive edits of one field into one undo step. */
  readonly onMapping: (mapping: MappingDraft, key: string | null) => void;
}

export const BalanceFields = (props: MappingPartProps) => {
  const { mapping, onMapping } = props;
  return (
    <>
      <BackendList {...props} />
      <SelectField
        label="How packets reach them"
        value={mapping.nat ?? 'dnat'}
        options={[
          { value: 'dnat', title: 'rewrite the destination (DNAT)' },
          { value: 'full', title: 'rewrite both addresses (full NAT)' },
          { value: 'dsr', title: 'direct return (same network)' },
        ]}
        onValue={(nat) => onMapping(withField(mapping, 'nat', nat === 'full' || nat === 'dsr' ? nat : undefined), null)}
        testId="mapping-nat"
      />
      <Choice
        label="One client goes to"
        value={mapping.affinity ?? 'none'}
        options={[
          { value: 'none', title: 'any backend' },
          { value: 'source', title: 'the same backend' },
        ]}
        onValue={(affinity) => onMapping(withField(mapping, 'affinity', affinity === 'source' ? affinity : undefined), null)}
        testId="mapping-affinity"
      />
      <HealthFields {...props} />
    </>
  );
};

const BackendList = ({ mapping, faults, onMapping }: MappingPartProps) => {
  const { backends = [] } = mapping;
  const set = (next: readonly BackendDraft[], key: string | null): void => onMapping({ ...mapping, backends: next }, key);
  return (
    <div className="part" data-testid="mapping-backends">
      <h3>Backends</h3>
      {backends.map((backend, index) => (
        <BackendFields
          key={index}
          index={index}
          backend={backend}
          faults={faults}
          onBackend={(changed, field) =>
            set(replaced(backends, index, changed), field === null ? null : `backends.${String(index)}.${field}`)
          }
          onRemove={() =>
            set(
              backends.filter((_, position) => position !== index),
              null,
            )
          }
        />
      ))}
      <Faults faults={faults('backends', {})} />
      <div>
        <Button
          variant="text"
          size="small"
          startIcon={<Plus size={14} />}
          onClick={() => set([...backends, { name: freeName('server-1', backends), address: '' }], null)}
          data-testid="add-backend"
        >
          Add backend
        </Button>
      </div>
    </div>
  );
};

interface BackendFieldsProps {
  readonly index: number;
  readonly backend: BackendDraft;
  readonly faults: FaultsOf;
  readonly onBackend: (backend: BackendDraft, field: string | null) => void;
  readonly onRemove: () => void;
}

const BackendFields = ({ index, backend, faults, onBackend, onRemove }: BackendFieldsProps) => {
  const at = (part: string) => faults('backends', { entry: index, part });
  const own = faults('backends', { entry: index });
  const testId = (part: string): string => `mapping-backends-${String(index)}-${part}`;
  const state = backend.state ?? 'up';
  return (
    <div className="backend" role="group" aria-label={`Backend ${backend.name}`} data-problem={own.length > 0}>
      <div className="field-row" style={{ gridTemplateColumns: '1fr 96px 30px', alignItems: 'end' }}>
        <TextField
          label="Name"
          value={backend.name}
          onValue={(name) => onBackend({ ...backend, name }, 'name')}
          faults={at('name')}
          isMono
          testId={testId('name')}
        />
        <SelectField
          label="State"
          value={state}
          options={backendStates.map((value) => ({ value, title: value }))}
          onValue={(value) => {
            const next = backendStates.find((known) => known === value);
            onBackend(withField(backend, 'state', next === 'up' ? undefined : next), null);
          }}
          testId={testId('state')}
        />
        <button
          type="button"
          className="icon-button danger"
          aria-label={`Remove ${backend.name}`}
          title="Remove (undo brings it back)"
          onClick={onRemove}
        >
          <Trash2 size={15} aria-hidden="true" />
        </button>
      </div>
      <div className="field-row" style={{ gridTemplateColumns: '1fr 74px 66px' }}>
        <TextField
          label="Address"
          value={backend.address}
          onValue={(address) => onBackend({ ...backend, address }, 'address')}
          faults={at('address')}
          placeholder="198.18.9.21"
          isMono
          testId={testId('address')}
        />
        <NumberField
          label="Port"
          value={backend.port}
          onValue={(port) => onBackend(withField(backend, 'port', port), 'port')}
          placeholder="same"
          faults={at('port')}
          testId={testId('port')}
        />
        <NumberField
          label="Weight"
          value={backend.weight}
          onValue={(weight) => onBackend(withField(backend, 'weight', weight), 'weight')}
          placeholder="1"
          faults={at('weight')}
          testId={testId('weight')}
        />
      </div>
      <Faults faults={own} />
    </div>
  );
};

/** Faults of a part that has no single field. */
const Faults = ({ faults }: { readonly faults: readonly Fault[] }) =>
  faults.map(({ message }) => (
    <div key={message} className="fault crit">
      {message}
    </div>
  ));

const checkKinds = ['tcp', 'http', 'icmp'] as const;
const checkNumbers = [
  { name: 'intervalMs', label: 'Every, ms', usual: '1000' },
  { name: 'timeoutMs', label: 'Wait, ms', usual: '500' },
  { name: 'rise', label: 'Up after', usual: '2' },
  { name: 'fall', label: 'Down after', usual: '3' },
] as const satisfies readonly { name: keyof HealthCheckDraft; label: string; usual: string }[];

const HealthFields = ({ mapping, faults, onMapping }: MappingPartProps) => {
  const { healthCheck: check } = mapping;
  const set = (next: HealthCheckDraft | undefined, field: string | null): void =>
    onMapping(withField(mapping, 'healthCheck', next), field === null ? null : `healthCheck.${field}`);
  const choose = (value: string): void => {
    const kind = checkKinds.find((known) => known === value);
    if (kind === undefined) set(undefined, null);
    else set(withField({ ...check, kind }, 'path', kind === 'http' ? (check?.path ?? '/') : undefined), null);
  };
  return (
    <div className="part">
      <SelectField
        label="Health check"
        value={check?.kind ?? ''}
        options={[
          { value: '', title: 'none: every backend counts as up' },
          { value: 'tcp', title: 'TCP: a connection opens' },
          { value: 'http', title: 'HTTP: a page answers 2xx or 3xx' },
          { value: 'icmp', title: 'ICMP: an echo is answered' },
        ]}
        onValue={choose}
        testId="mapping-healthCheck"
      />
      {check?.kind === 'http' ? (
        <TextField
          label="Path"
          value={check.path ?? ''}
          onValue={(path) => set(withField(check, 'path', path === '' ? undefined : path), 'path')}
          faults={faults('healthCheck', { part: 'path' })}
          placeholder="/"
          isMono
          testId="mapping-healthCheck-path"
        />
      ) : null}
      {check === undefined ? null : (
        <div className="field-row four">
          {checkNumbers.map(({ name, label, usual }) => (
            <NumberField
              key={name}
              label={label}
              value={check[name]}
              onValue={(value) => set(withField(check, name, value), name)}
              placeholder={usual}
              faults={faults('healthCheck', { part: name })}
              testId={`mapping-healthCheck-${name}`}
            />
          ))}
        </div>
      )}
    </div>
  );
};
