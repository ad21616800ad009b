/** The one field of the flow filter: suggestions while typing, and what is wrong with its place. */
import { Filter } from 'lucide-react';
import { useId, useRef, useState } from 'react';
import type { KeyboardEvent } from 'react';
import { parseFlowQuery, suggestFlowTerms } from '../../bridge/flow-grammar.ts';
import type { FlowNames, FlowQueryProblem, FlowSuggestion } from '../../bridge/flow-grammar.ts';

interface FlowFilterFieldProps {
  readonly text: string;
  readonly names: FlowNames;
  /** Typed, perhaps half. */
  readonly onText: (text: string) => void;
  /** Finished: Enter, or a suggestion that ends a term. */
  readonly onTake: (text: string) => void;
}

/** What is offered, what is wrong, and what keys do. */
const useCompletion = ({ text, names, onText, onTake }: FlowFilterFieldProps) => {
  const input = useRef<HTMLInputElement>(null);
  const [cursor, setCursor] = useState(0);
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const { start, end, options } = suggestFlowTerms(text, Math.min(cursor, text.length), names);
  // While a term is typed it is not wrong yet: its problem is told once the cursor has left it, before anything new is offered.
  const problem = parseFlowQuery(text).problems.find((entry) => !isOpen || cursor < entry.start || cursor > entry.end);
  const offered = isOpen && (problem === undefined || start < end) ? options : [];

  const choose = ({ text: term }: FlowSuggestion): void => {
    const isDone = !term.endsWith(':');
    const next = `${text.slice(0, start)}${term}${isDone ? ' ' : ''}${text.slice(end).trimStart()}`;
    const place = start + term.length + (isDone ? 1 : 0);
    setActive(-1);
    setCursor(place);
    if (isDone && parseFlowQuery(next).problems.length === 0) onTake(next.trimEnd());
    else onText(next);
    input.current?.focus();
    requestAnimationFrame(() => input.current?.setSelectionRange(place, place));
  };
  const press = (event: KeyboardEvent): void => {
    const chosen = offered[active];
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setOpen(true);
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setActive(offered.length === 0 ? -1 : (active + step + offered.length) % offered.length);
    } else if ((event.key === 'Enter' || event.key === 'Tab') && chosen !== undefined) {
      event.preventDefault();
      choose(chosen);
    } else if (event.key === 'Enter') {
      setOpen(false);
      if (parseFlowQuery(text).problems.length === 0) onTake(text.trim());
    } else if (event.key === 'Escape' && isOpen) {
      event.stopPropagation();
      setOpen(false);
    }
  };
  const type = (next: string, at: number): void => {
    onText(next);
    setCursor(at);
    setOpen(true);
    setActive(-1);
  };
  return { input, offered, active, problem, choose, press, type, setCursor, setOpen };
};

export const FlowFilterField = (props: FlowFilterFieldProps) => {
  const { text } = props;
  const id = useId();
  const { input, offered, active, problem, choose, press, type, setCursor, setOpen } = useCompletion(props);
  return (
    <div className="filter">
      <div className="search" data-invalid={problem !== undefined}>
        <Filter size={15} aria-hidden="true" />
        <input
          ref={input}
          data-filter
          role="combobox"
          className="mono"
          aria-label="Filter flows"
          aria-expanded={offered.length > 0}
          aria-controls={`${id}-options`}
          aria-autocomplete="list"
          aria-activedescendant={active >= 0 ? `${id}-option-${String(active)}` : undefined}
          aria-invalid={problem !== undefined}
          aria-describedby={`${id}-problem`}
          placeholder="src:198.18.0.0/16 port:443 verdict:denied"
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={({ target }) => type(target.value, target.selectionStart ?? target.value.length)}
          onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
          onClick={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={press}
          data-testid="flow-filter"
        />
      </div>
      <Options id={id} offered={offered} active={active} onChoose={choose} />
      <div id={`${id}-problem`} className="filter-problem" role="status">
        {problem === undefined || offered.length > 0 ? null : <Problem text={text} problem={problem} />}
      </div>
    </div>
  );
};

interface OptionsProps {
  readonly id: string;
  readonly offered: readonly FlowSuggestion[];
  readonly active: number;
  readonly onChoose: (suggestion: FlowSuggestion) => void;
}

const Options = ({ id, offered, active, onChoose }: OptionsProps) => (
  <div id={`${id}-options`} role="listbox" aria-label="Suggestions" className={offered.length > 0 ? 'options' : 'unseen'}>
    {offered.map((suggestion, index) => (
      // The pointer must not take the focus from the field.
      <div
        key={suggestion.text}
        id={`${id}-option-${String(index)}`}
        role="option"
        tabIndex={-1}
        className="option"
        aria-selected={index === active}
        onPointerDown={(event) => {
          event.preventDefault();
          onChoose(suggestion);
        }}
      >
        <span className="mono">{suggestion.text}</span>
        {suggestion.about === '' ? null : <span className="dim cut">{suggestion.about}</span>}
      </div>
    ))}
  </div>
);

/** The text with the faulty place marked, and what to write. */
const Problem = ({ text, problem }: { readonly text: string; readonly problem: FlowQueryProblem }) => (
  <span className="crit" data-testid="flow-problem">
    <mark className="mono">{text.slice(problem.start, problem.end)}</mark> {problem.message}
  </span>
);
