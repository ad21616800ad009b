/** What any mapping that lets packets through may do with them: limit their rate, mark them, change where they come from. */
import type { MappingDraft, RateLimitDraft } from '../../client/policy-document.ts';
import { Choice, SelectField, TextField } from '../../widgets/field.tsx';
import type { MappingPartProps } from './balance-fields.tsx';
import { withField } from './entry-parts.tsx';
import { NumberField } from './number-field.tsx';

export const TreatmentFields = (props: MappingPartProps) => (
  <>
    <RateFields {...props} />
    <MarkFields {...props} />
  </>
);

const newLimit: RateLimitDraft = { packetsPerSecond: 1_000 };

const RateFields = ({ mapping, faults, onMapping }: MappingPartProps) => {
  const { rateLimit: limit } = mapping;
  const set = (next: RateLimitDraft | undefined, field: string | null): void =>
    onMapping(withField(mapping, 'rateLimit', next), field === null ? null : `rateLimit.${field}`);
  const number = (name: 'packetsPerSecond' | 'bytesPerSecond' | 'burst', label: string, placeholder: string) => (
    <NumberField
      label={label}
      value={limit?.[name]}
      onValue={(value) => set(withField(limit ?? {}, name, value), name)}
      placeholder={placeholder}
      faults={faults('rateLimit', { part: name })}
      testId={`mapping-rateLimit-${name}`}
    />
  );
  return (
    <div className="part" data-testid="mapping-rateLimit">
      <label className="line">
        <input
          type="checkbox"
          checked={limit !== undefined}
          onChange={(event) => set(event.target.checked ? newLimit : undefined, null)}
          data-testid="mapping-limited"
        />
        Rate limit
      </label>
      {limit === undefined ? null : (
        <>
          <div className="field-row">
            {number('packetsPerSecond', 'Packets/s', 'no limit')}
            {number('bytesPerSecond', 'Bytes/s', 'no limit')}
            {number('burst', 'Burst', '100 ms')}
          </div>
          <Choice
            label="For"
            value={limit.per ?? 'mapping'}
            options={[
              { value: 'mapping', title: 'the whole mapping' },
              { value: 'source', title: 'each source' },
            ]}
            onValue={(per) => set(withField(limit, 'per', per === 'source' ? per : undefined), null)}
          />
          {faults('rateLimit', {}).map(({ message }) => (
            <div key={message} className="fault crit">
              {message}
            </div>
          ))}
        </>
      )}
    </div>
  );
};

const marks = ['P0', 'P1', 'P2', 'P3'] as const;
const markOptions = [
  { value: '', title: 'as it comes' },
  { value: 'P0', title: 'P0: EF' },
  { value: 'P1', title: 'P1: AF41' },
  { value: 'P2', title: 'P2: AF21' },
  { value: 'P3', title: 'P3: CS0' },
];

type SourceNat = 'none' | 'masquerade' | 'address';

const sourceNatOf = ({ sourceNat }: MappingDraft): SourceNat =>
  sourceNat === undefined ? 'none' : sourceNat === 'masquerade' ? 'masquerade' : 'address';

const MarkFields = ({ mapping, faults, onMapping }: MappingPartProps) => {
  // Full NAT is a balancing mapping's own way to change the source.
  const isBalanced = mapping.action === 'balance' && mapping.sourceNat === undefined;
  const kind = sourceNatOf(mapping);
  const setSource = (sourceNat: string | undefined, key: string | null): void => onMapping(withField(mapping, 'sourceNat', sourceNat), key);
  return (
    <div className="part">
      <div className="field-row">
        <SelectField
          label="Priority mark (DSCP)"
          value={mapping.dscp ?? ''}
          options={markOptions}
          onValue={(value) =>
            onMapping(
              withField(
                mapping,
                'dscp',
                marks.find((mark) => mark === value),
              ),
              null,
            )
          }
          testId="mapping-dscp"
        />
        {isBalanced ? null : (
          <SelectField
            label="Source address"
            value={kind}
            options={[
              { value: 'none', title: 'kept' },
              { value: 'masquerade', title: 'of the way out' },
              { value: 'address', title: 'this one:' },
            ]}
            onValue={(value) => setSource(value === 'none' ? undefined : value === 'masquerade' ? value : '', null)}
            testId="mapping-sourceNat-kind"
          />
        )}
      </div>
      {kind === 'none' ? null : kind === 'address' ? (
        <TextField
          label="Source NAT address"
          value={mapping.sourceNat ?? ''}
          onValue={(address) => setSource(address, 'sourceNat')}
          faults={faults('sourceNat')}
          placeholder="198.18.0.13"
          isMono
          testId="mapping-sourceNat"
        />
      ) : (
        faults('sourceNat').map(({ message }) => (
          <div key={message} className="fault crit">
            {message}
          </div>
        ))
      )}
    </div>
  );
};
