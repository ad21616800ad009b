import { ChevronDown, Lock } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router';
import type { ConsoleState } from '../../bridge/model.ts';
import { useDraftQuery, useLockFleetMutation } from '../client/bridge-api.ts';
import { useFleet } from '../client/shell.tsx';
import { useConsoleDispatch } from '../client/store.ts';
import { formatCount } from '../client/units.ts';
import { noticeRaised } from '../client/window-slice.ts';
import { toFailure } from '../client/failure.ts';
import { Logo } from '../widgets/logo.tsx';
import { administrationPages, operatePages, primaryPages, trafficPages } from './pages.ts';
import type { ConsolePage } from './pages.ts';

/** Pages with their counts, the operator at the foot. */
export const Sidebar = ({ state }: { readonly state: ConsoleState }) => {
  const fleet = useFleet();
  const { data: draft } = useDraftQuery({});
  const countOf = (id: string): string | undefined => {
    if (id === 'hosts') return formatCount(fleet.at === null ? state.hostCount : fleet.totals.hosts);
    return id === 'policy' && draft !== null && draft !== undefined ? 'draft' : undefined;
  };
  const links = (pages: readonly ConsolePage[]) => pages.map((page) => <PageLink key={page.id} page={page} count={countOf(page.id)} />);
  return (
    <aside className="sidebar">
      <Link className="logo" to="/hosts">
        <Logo size={26} />
        Nest
      </Link>
      <nav aria-label="Pages">
        {links(primaryPages)}
        <Category title="Traffic">{links(trafficPages)}</Category>
        <Category title="Operate">{links(operatePages)}</Category>
        <Category title="Administration">
          {administrationPages.map((page) => (
            <PageLink key={page.id} page={page} count={undefined} isAdministration />
          ))}
        </Category>
      </nav>
      <Operator state={state} />
    </aside>
  );
};

const Category = ({ title, children }: { readonly title: string; readonly children: ReactNode }) => {
  const [isOpen, setOpen] = useState(true);
  return (
    <div>
      <button type="button" className="category" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        {title}
        <ChevronDown size={12} aria-hidden="true" />
      </button>
      {isOpen ? children : null}
    </div>
  );
};

interface PageLinkProps {
  readonly page: ConsolePage;
  readonly count: string | undefined;
  readonly isAdministration?: boolean;
}

const PageLink = ({ page, count, isAdministration = false }: PageLinkProps) => {
  const { pathname } = useLocation();
  const isHere =
    pathname === page.path || pathname.startsWith(`${page.path}/`) || (page.id === 'policy' && pathname.startsWith('/rollout/'));
  const Icon = page.icon;
  return (
    <Link
      className={isAdministration ? 'nav-link admin' : 'nav-link'}
      to={page.path}
      aria-current={isHere ? 'page' : undefined}
      data-testid={`nav-${page.id}`}
    >
      <Icon size={18} strokeWidth={1.8} aria-hidden="true" />
      {page.title}
      {count === undefined ? null : <span className="count">{count}</span>}
    </Link>
  );
};

const initialsOf = (name: string): string =>
  name
    .split(/[\s._-]+/)
    .map((word) => word.charAt(0))
    .join('')
    .slice(0, 2);

const Operator = ({ state }: { readonly state: ConsoleState }) => {
  const [lock] = useLockFleetMutation();
  const dispatch = useConsoleDispatch();
  const press = (): void => {
    lock({})
      .unwrap()
      .catch((error: unknown) => dispatch(noticeRaised({ kind: 'problem', text: toFailure(error).message })));
  };
  return (
    <div className="operator">
      <span className="avatar" aria-hidden="true">
        {initialsOf(state.operatorName ?? '')}
      </span>
      <div className="grow">
        <div className="cut">{state.fleetName}</div>
        <div className="dim cut">{state.operatorName}</div>
      </div>
      <button
        type="button"
        className="icon-button"
        aria-label="Lock the console"
        title="Lock the console"
        onClick={press}
        data-testid="lock"
      >
        <Lock size={16} aria-hidden="true" />
      </button>
    </div>
  );
};
