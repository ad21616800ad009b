/** A list of short texts: type, Enter or comma adds, Backspace takes the last, arrows choose a suggestion. */
import { X } from 'lucide-react';
import { useId, useRef, useState } from 'react';
import type { ClipboardEvent, KeyboardEvent, ReactNode } from 'react';
import { FieldShell, isFaulty } from './field.tsx';
import type { Fault } from './field.tsx';

export interface Suggestion {
  readonly value: string;
  readonly about?: string;
}

interface TokenInputProps {
  readonly label: string;
  readonly values: readonly string[];
  readonly onValues: (values: readonly string[]) => void;
  readonly suggestions?: readonly Suggestion[];
  readonly placeholder?: string;
  readonly hint?: ReactNode;
  readonly faults?: readonly Fault[] | undefined;
  /** Entries drawn as faulty. */
  readonly isFaultyAt?: (index: number) => boolean;
  readonly testId?: string;
}

const suggestionsMax = 8;

/** Entries of a typed or pasted text. */
export const splitTokens = (text: string): readonly string[] =>
  text
    .split(/[\s,;]+/)
    .map((token) => token.trim())
    .filter((token) => token !== '');

const matching = (suggestions: readonly Suggestion[], values: readonly string[], text: string): readonly Suggestion[] =>
  suggestions
    .filter(({ value }) => !values.includes(value) && value.toLowerCase().includes(text.trim().toLowerCase()))
    .slice(0, suggestionsMax);

/** Several entries at once become tokens; a single one stays text to be typed on. */
const pasteTokens = (event: ClipboardEvent, add: (tokens: readonly string[]) => void): void => {
  const tokens = splitTokens(event.clipboardData.getData('text'));
  if (tokens.length < 2) return;
  event.preventDefault();
  add(tokens);
};

/** The option after or before; -1 stands before the first. */
const nextActive = (active: number, count: number, isDown: boolean): number => {
  if (count === 0) return -1;
  if (isDown) return (active + 1) % count;
  return active <= 0 ? count - 1 : active - 1;
};

export const TokenInput = (props: TokenInputProps) => {
  const { label, values, onValues, suggestions = [], placeholder, hint, faults, isFaultyAt, testId } = props;
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState('');
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const offered = isOpen ? matching(suggestions, values, text) : [];

  const add = (added: readonly string[]): void => {
    const fresh = added.filter((token) => !values.includes(token));
    if (fresh.length > 0) onValues([...values, ...fresh]);
    setText('');
    setActive(-1);
    setOpen(false);
  };
  const press = (event: KeyboardEvent): void => {
    const chosen = offered[active];
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setOpen(true);
      setActive(nextActive(active, offered.length, event.key === 'ArrowDown'));
    } else if (event.key === 'Enter' || event.key === ',' || event.key === ' ') {
      if (chosen === undefined && text.trim() === '') return;
      event.preventDefault();
      add(chosen === undefined || event.key !== 'Enter' ? splitTokens(text) : [chosen.value]);
    } else if (event.key === 'Escape' && isOpen) {
      event.stopPropagation();
      setOpen(false);
    } else if (event.key === 'Backspace' && text === '') onValues(values.slice(0, -1));
  };
  const leave = (): void => {
    setOpen(false);
    if (text.trim() !== '') add(splitTokens(text));
  };
  return (
    <FieldShell id={id} label={label} hint={hint} faults={faults}>
      {/* The frame only carries the click to the input inside it, which has the keyboard. */}
      <div className="tokens" role="presentation" data-invalid={isFaulty(faults)} onClick={() => input.current?.focus()}>
        <TokenChips values={values} onValues={onValues} isFaultyAt={isFaultyAt} />
        <input
          ref={input}
          id={id}
          role="combobox"
          aria-expanded={offered.length > 0}
          aria-controls={`${id}-options`}
          aria-autocomplete="list"
          aria-activedescendant={active >= 0 ? `${id}-option-${String(active)}` : undefined}
          aria-describedby={`${id}-about`}
          aria-invalid={isFaulty(faults)}
          autoComplete="off"
          spellCheck={false}
          placeholder={values.length === 0 ? placeholder : undefined}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setOpen(true);
            setActive(-1);
          }}
          onClick={() => setOpen(true)}
          onBlur={leave}
          onKeyDown={press}
          onPaste={(event) => pasteTokens(event, add)}
          data-testid={testId}
        />
        <TokenOptions id={id} offered={offered} active={active} onChoose={(value) => add([value])} />
      </div>
    </FieldShell>
  );
};

const TokenChips = ({
  values,
  onValues,
  isFaultyAt,
}: {
  readonly values: readonly string[];
  readonly onValues: (values: readonly string[]) => void;
  readonly isFaultyAt: ((index: number) => boolean) | undefined;
}) =>
  values.map((value, index) => (
    <span key={value} className="chip mono" data-problem={isFaultyAt?.(index) ?? false}>
      {value}
      <button type="button" aria-label={`Remove ${value}`} onClick={() => onValues(values.filter((other) => other !== value))}>
        <X size={12} aria-hidden="true" />
      </button>
    </span>
  ));

const TokenOptions = ({
  id,
  offered,
  active,
  onChoose,
}: {
  readonly id: string;
  readonly offered: readonly Suggestion[];
  readonly active: number;
  readonly onChoose: (value: string) => void;
}) => (
  <div id={`${id}-options`} role="listbox" aria-label="Suggestions" className={offered.length > 0 ? 'options' : 'unseen'}>
    {offered.map(({ value, about }, index) => (
      // The pointer must not take the focus from the input: its blur would add the half-typed text.
      <div
        key={value}
        id={`${id}-option-${String(index)}`}
        role="option"
        tabIndex={-1}
        className="option"
        aria-selected={index === active}
        onPointerDown={(event) => {
          event.preventDefault();
          onChoose(value);
        }}
      >
        <span className="mono">{value}</span>
        {about === undefined ? null : <span className="dim cut">{about}</span>}
      </div>
    ))}
  </div>
);
