/** Labelled inputs. A fault is told to assistive technology and stands under the input it belongs to. */
import { useId } from 'react';
import type { InputHTMLAttributes, ReactNode } from 'react';

export interface Fault {
  readonly severity: 'error' | 'warning';
  readonly message: string;
}

interface FieldShellProps {
  readonly id: string;
  readonly label: string;
  readonly hint?: ReactNode;
  readonly faults?: readonly Fault[] | undefined;
  readonly children: ReactNode;
}

export const FieldShell = ({ id, label, hint, faults = [], children }: FieldShellProps) => (
  <div className="field">
    <label htmlFor={id}>{label}</label>
    {children}
    <div id={`${id}-about`}>
      {faults.map(({ severity, message }) => (
        <div key={message} className={severity === 'error' ? 'fault' : 'fault warn'}>
          {message}
        </div>
      ))}
      {faults.length === 0 && hint !== undefined ? <div className="hint">{hint}</div> : null}
    </div>
  </div>
);

export const isFaulty = (faults: readonly Fault[] | undefined): boolean => faults?.some(({ severity }) => severity === 'error') ?? false;

interface TextFieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'value' | 'id'> {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly hint?: ReactNode;
  readonly faults?: readonly Fault[] | undefined;
  readonly isMono?: boolean;
  readonly testId?: string;
}

export const TextField = ({ label, value, onValue, hint, faults, isMono = false, testId, ...input }: TextFieldProps) => {
  const id = useId();
  return (
    <FieldShell id={id} label={label} hint={hint} faults={faults}>
      <input
        autoComplete="off"
        spellCheck={false}
        {...input}
        id={id}
        className={isMono ? 'input mono' : 'input'}
        value={value}
        onChange={(event) => onValue(event.target.value)}
        aria-invalid={isFaulty(faults)}
        aria-describedby={`${id}-about`}
        data-testid={testId}
      />
    </FieldShell>
  );
};

interface SelectFieldProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly { readonly value: string; readonly title: string }[];
  readonly onValue: (value: string) => void;
  readonly hint?: ReactNode;
  readonly testId?: string;
}

export const SelectField = ({ label, value, options, onValue, hint, testId }: SelectFieldProps) => {
  const id = useId();
  return (
    <FieldShell id={id} label={label} hint={hint}>
      <select id={id} className="input" value={value} onChange={(event) => onValue(event.target.value)} data-testid={testId}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.title}
          </option>
        ))}
      </select>
    </FieldShell>
  );
};

interface ChoiceProps<Value extends string> {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly { readonly value: Value; readonly title: string; readonly isDenying?: boolean }[];
  readonly onValue: (value: Value) => void;
  /** The label stands beside it already, or goes without saying. */
  readonly isLabelHidden?: boolean;
  readonly testId?: string;
}

/** A few values side by side; radio buttons underneath. */
export const Choice = <Value extends string>({ label, value, options, onValue, isLabelHidden = false, testId }: ChoiceProps<Value>) => {
  const name = useId();
  return (
    <fieldset className="field" data-testid={testId}>
      <legend className={isLabelHidden ? 'unseen' : undefined}>{label}</legend>
      <div className="choice">
        {options.map((option) => (
          <label key={option.value} className={option.isDenying === true ? 'deny' : ''}>
            <input type="radio" name={name} value={option.value} checked={option.value === value} onChange={() => onValue(option.value)} />
            {option.title}
          </label>
        ))}
      </div>
    </fieldset>
  );
};

interface ChecksProps<Value extends string> {
  readonly label: string;
  readonly values: readonly Value[];
  readonly options: readonly { readonly value: Value; readonly title: string }[];
  readonly onValues: (values: readonly Value[]) => void;
  readonly faults?: readonly Fault[] | undefined;
  readonly testId?: string;
}

/** Several of a few values, side by side; check boxes underneath. */
export const Checks = <Value extends string>({ label, values, options, onValues, faults = [], testId }: ChecksProps<Value>) => (
  <fieldset className="field" data-testid={testId}>
    <legend>{label}</legend>
    <div className="choice">
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="checkbox"
            checked={values.includes(option.value)}
            onChange={(event) =>
              onValues(event.target.checked ? [...values, option.value] : values.filter((value) => value !== option.value))
            }
          />
          {option.title}
        </label>
      ))}
    </div>
    {faults.map(({ severity, message }) => (
      <div key={message} className={severity === 'error' ? 'fault' : 'fault warn'}>
        {message}
      </div>
    ))}
  </fieldset>
);
