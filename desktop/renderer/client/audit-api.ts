/** The endpoints of the audit page. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const auditApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const query = <Name extends CallName>(method: Name) =>
      build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method), providesTags: ['audit'] });
    const command = <Name extends CallName>(method: Name) => build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method) });
    return {
      auditHeads: query('audit.heads'),
      auditTimeline: query('audit.list'),
      // Mutations: they run when somebody presses, and their answers are not kept.
      verifyAudit: command('audit.verify'),
      acceptAudit: build.mutation<OutputOf<'audit.accept'>, InputOf<'audit.accept'>>({
        query: ask('audit.accept'),
        invalidatesTags: ['audit'],
      }),
      auditExportHeader: command('audit.exportHeader'),
      exportAudit: command('audit.export'),
    };
  },
});

export const {
  useAuditHeadsQuery,
  useAuditTimelineQuery,
  useVerifyAuditMutation,
  useAcceptAuditMutation,
  useAuditExportHeaderMutation,
  useExportAuditMutation,
} = auditApi;
