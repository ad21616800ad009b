/** The policy editor: loads the draft, then edits it. */
import { useDraftQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { Bones, FailureView } from '../../widgets/blank.tsx';
import { Page } from '../../widgets/page.tsx';
import { PolicyEditorView } from './policy-editor-view.tsx';

export const PolicyPage = () => {
  const { data, error, refetch } = useDraftQuery({});
  const failure = failureOf(error);
  if (data !== undefined) return <PolicyEditorView draft={data} />;
  return (
    <Page title="Policy">
      {failure === null ? <Bones label="Loading the draft" lines={8} /> : <FailureView failure={failure} onRetry={() => void refetch()} />}
    </Page>
  );
};
