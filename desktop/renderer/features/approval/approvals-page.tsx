/** Mappings that need the word of a second operator, and hosts whose kernel has drifted. */
import { Page } from '../../widgets/page.tsx';
import { ApprovalsCard } from './approvals-card.tsx';
import { DriftCard } from './drift-card.tsx';

export const ApprovalsPage = () => (
  <Page title="Approvals and drift">
    <ApprovalsCard />
    <DriftCard />
  </Page>
);
