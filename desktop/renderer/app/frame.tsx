/** Sidebar, banners, the page of the route, palette, notices. */
import { Suspense, lazy, useEffect } from 'react';
import { Navigate, Route, Routes, useLocation } from 'react-router';
import type { ConsoleState } from '../../bridge/model.ts';
import { useWatchFleetQuery } from '../client/bridge-api.ts';
import type { Failure } from '../client/failure.ts';
import { HostsPage } from '../features/hosts/hosts-page.tsx';
import { Bones } from '../widgets/blank.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import { BreakGlassBanner, LostBanner, RolloutBanner } from './banners.tsx';
import { Notices } from './notices.tsx';
import { SignInBanner } from './sign-in-banner.tsx';
import { useShortcuts } from './shortcuts.ts';
import { Sidebar } from './sidebar.tsx';
import { StepUpDialog } from './step-up-dialog.tsx';

const HostPage = lazy(async () => ({ default: (await import('../features/host/host-page.tsx')).HostPage }));
const GroupsPage = lazy(async () => ({ default: (await import('../features/groups/groups-page.tsx')).GroupsPage }));
const PolicyPage = lazy(async () => ({ default: (await import('../features/policy/policy-page.tsx')).PolicyPage }));
const ReviewPage = lazy(async () => ({ default: (await import('../features/review/review-page.tsx')).ReviewPage }));
const RolloutPage = lazy(async () => ({ default: (await import('../features/rollout/rollout-page.tsx')).RolloutPage }));
const StagedListPage = lazy(async () => ({ default: (await import('../features/rollout/staged-list-page.tsx')).StagedListPage }));
const BeginPage = lazy(async () => ({ default: (await import('../features/rollout/begin-page.tsx')).BeginPage }));
const StagedPage = lazy(async () => ({ default: (await import('../features/rollout/staged-page.tsx')).StagedPage }));
const FlowsPage = lazy(async () => ({ default: (await import('../features/flows/flows-page.tsx')).FlowsPage }));
const TracePage = lazy(async () => ({ default: (await import('../features/trace/trace-page.tsx')).TracePage }));
const AuditPage = lazy(async () => ({ default: (await import('../features/audit/audit-page.tsx')).AuditPage }));
const AccessPage = lazy(async () => ({ default: (await import('../features/access/access-page.tsx')).AccessPage }));
const ApprovalsPage = lazy(async () => ({ default: (await import('../features/approval/approvals-page.tsx')).ApprovalsPage }));
const CertificatesPage = lazy(async () => ({
  default: (await import('../features/certificates/certificates-page.tsx')).CertificatesPage,
}));
const SnapshotsPage = lazy(async () => ({ default: (await import('../features/snapshot/snapshots-page.tsx')).SnapshotsPage }));
const SnapshotPage = lazy(async () => ({ default: (await import('../features/snapshot/snapshot-page.tsx')).SnapshotPage }));
const ComparePage = lazy(async () => ({ default: (await import('../features/snapshot/compare-page.tsx')).ComparePage }));
const SettingsPage = lazy(async () => ({ default: (await import('../features/settings/settings-page.tsx')).SettingsPage }));
const Palette = lazy(async () => ({ default: (await import('./palette.tsx')).Palette }));
const ShortcutSheet = lazy(async () => ({ default: (await import('./shortcut-sheet.tsx')).ShortcutSheet }));

interface FrameProps {
  readonly state: ConsoleState;
  readonly failure: Failure | null;
  readonly isSearching: boolean;
  readonly onSearch: (isOpen: boolean) => void;
}

export const Frame = ({ state, failure, isSearching, onSearch }: FrameProps) => {
  useWatchFleetQuery({});
  const { isSheetOpen, closeSheet } = useShortcuts(onSearch);
  return (
    <div className="frame">
      <a className="skip" href="#page" onClick={skipToPage}>
        Skip to the page
      </a>
      <Sidebar state={state} />
      <div className="content">
        <LostBanner failure={failure} />
        <BreakGlassBanner />
        <RolloutBanner />
        <SignInBanner />
        <Pages state={state} />
      </div>
      <Suspense fallback={null}>
        {isSearching ? <Palette onClose={() => onSearch(false)} /> : null}
        {isSheetOpen ? <ShortcutSheet onClose={closeSheet} /> : null}
      </Suspense>
      <StepUpDialog />
      <Notices />
    </div>
  );
};

/** The address after # is the route, so the skip link moves the focus by hand. */
const skipToPage = (event: { preventDefault: () => void }): void => {
  event.preventDefault();
  document.querySelector<HTMLElement>('#page')?.focus();
};

const Pages = ({ state }: { readonly state: ConsoleState }) => {
  const { pathname } = useLocation();
  const area = pathname.split('/')[1] ?? '';
  useEffect(() => {
    document.title = area === '' ? 'Nest' : `${area.charAt(0).toUpperCase()}${area.slice(1)} · Nest`;
  }, [area]);
  return (
    <ErrorBoundary key={area}>
      <Suspense fallback={<Bones label="Loading the page" lines={8} />}>
        <Routes>
          <Route path="/hosts" element={<HostsPage />} />
          <Route path="/hosts/:id" element={<HostPage />} />
          <Route path="/hosts/:id/:tab" element={<HostPage />} />
          <Route path="/groups" element={<GroupsPage />} />
          <Route path="/policy" element={<PolicyPage />} />
          <Route path="/policy/review" element={<ReviewPage />} />
          <Route path="/policy/review/:planId" element={<ReviewPage />} />
          <Route path="/approvals" element={<ApprovalsPage />} />
          <Route path="/rollout/:id" element={<RolloutPage />} />
          <Route path="/rollouts" element={<StagedListPage />} />
          <Route path="/rollouts/new" element={<BeginPage />} />
          <Route path="/rollouts/:id" element={<StagedPage />} />
          <Route path="/flows" element={<FlowsPage />} />
          <Route path="/trace" element={<TracePage />} />
          <Route path="/audit" element={<AuditPage />} />
          <Route path="/access" element={<AccessPage />} />
          <Route path="/certificates" element={<CertificatesPage />} />
          <Route path="/snapshots" element={<SnapshotsPage />} />
          <Route path="/snapshots/:id" element={<SnapshotPage />} />
          <Route path="/snapshots/:id/compare" element={<ComparePage />} />
          <Route path="/settings" element={<SettingsPage state={state} />} />
          <Route path="*" element={<Navigate to="/hosts" replace />} />
        </Routes>
      </Suspense>
    </ErrorBoundary>
  );
};
