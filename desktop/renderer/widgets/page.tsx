/** The frame of a page: 64 px header, scrolling body, optional footer for the page's decision. */
import { Search } from 'lucide-react';
import type { ReactNode } from 'react';
import { useShell } from '../client/shell.tsx';

interface PageProps {
  readonly title: ReactNode;
  /** One line beside the title. */
  readonly about?: ReactNode;
  /** Replaces the search button that opens the command palette. */
  readonly search?: ReactNode;
  /** Live state and the page's one primary action. */
  readonly actions?: ReactNode;
  readonly banner?: ReactNode;
  readonly footer?: ReactNode;
  readonly children: ReactNode;
}

export const Page = ({ title, about, search, actions, banner, footer, children }: PageProps) => (
  <div className="page">
    <header className="page-header">
      <div className="about">
        <h1>{title}</h1>
        {about === undefined ? null : <span className="line dim cut">{about}</span>}
      </div>
      {search ?? <SearchButton />}
      {actions}
    </header>
    {banner}
    <main className="page-body" id="page" tabIndex={-1}>
      {children}
    </main>
    {footer === undefined ? null : <footer className="page-footer">{footer}</footer>}
  </div>
);

const SearchButton = () => {
  const { search } = useShell();
  return (
    <button type="button" className="search" onClick={search} data-testid="open-palette" aria-keyshortcuts="Control+K">
      <Search size={16} aria-hidden="true" />
      <span>Search</span>
      <span className="kbd">Ctrl K</span>
    </button>
  );
};
