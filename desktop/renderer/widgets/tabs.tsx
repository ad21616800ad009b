/** Tabs with a 3 px underline: as links between routes, or as buttons inside a card. */
import { useRef } from 'react';
import type { KeyboardEvent, ReactNode } from 'react';
import { Link } from 'react-router';

interface TabLinksProps {
  readonly label: string;
  readonly current: string;
  readonly tabs: readonly { readonly id: string; readonly title: string; readonly to: string; readonly count?: string | undefined }[];
}

export const TabLinks = ({ label, current, tabs }: TabLinksProps) => (
  <nav className="tabs" aria-label={label}>
    {tabs.map(({ id, title, to, count }) => (
      <Link key={id} className="tab" to={to} aria-current={id === current ? 'page' : undefined} data-testid={`tab-${id}`}>
        {title}
        {count === undefined ? null : <span className="count">{count}</span>}
      </Link>
    ))}
  </nav>
);

interface TabsProps<Id extends string> {
  readonly label: string;
  readonly current: Id;
  readonly tabs: readonly { readonly id: Id; readonly title: ReactNode }[];
  readonly onChange: (id: Id) => void;
}

export const Tabs = <Id extends string>({ label, current, tabs, onChange }: TabsProps<Id>) => {
  const list = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    const index = tabs.findIndex(({ id }) => id === current);
    const next = (index + step + tabs.length) % tabs.length;
    const tab = tabs[next];
    if (step === 0 || tab === undefined) return;
    onChange(tab.id);
    const button = list.current?.children[next];
    if (button instanceof HTMLElement) button.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label} ref={list}>
      {tabs.map(({ id, title }) => (
        <button
          key={id}
          type="button"
          role="tab"
          className="tab"
          aria-selected={id === current}
          tabIndex={id === current ? 0 : -1}
          onClick={() => onChange(id)}
          onKeyDown={move}
          data-testid={`tab-${id}`}
        >
          {title}
        </button>
      ))}
    </div>
  );
};
