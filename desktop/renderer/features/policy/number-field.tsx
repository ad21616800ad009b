import { TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';

interface NumberFieldProps {
  readonly label: string;
  readonly value: number | undefined;
  /** undefined when the field is empty: the default holds. */
  readonly onValue: (value: number | undefined) => void;
  readonly placeholder?: string;
  readonly hint?: string | undefined;
  readonly faults: readonly Fault[];
  readonly testId: string;
}

/** A whole number that may be left out; what it may be is checked with the document. */
export const NumberField = ({ value, onValue, ...field }: NumberFieldProps) => (
  <TextField
    {...field}
    isMono
    inputMode="numeric"
    value={value === undefined ? '' : String(value)}
    onValue={(text) => {
      const digits = text.replaceAll(/[^0-9]/g, '').slice(0, 15);
      onValue(digits === '' ? undefined : Number(digits));
    }}
  />
);
