/** Whether a mapping needs the word of a second operator, why, and until when. */
import type { ApprovalDraft, MappingDraft } from '../../client/policy-document.ts';
import { TextField } from '../../widgets/field.tsx';
import { withField } from './entry-parts.tsx';
import type { FaultsOf } from './entry-parts.tsx';
import { localTime, utcTime } from './local-time.ts';

interface ApprovalFieldsProps {
  readonly mapping: MappingDraft;
  /** Who asks from this console; empty: not known yet. */
  readonly self: string;
  readonly faults: FaultsOf;
  readonly onMapping: (mapping: MappingDraft, key: string | null) => void;
}

/** A mapping that was changed is asked for anew, in one's own name: what was approved was another. */
export const askedAnew = (mapping: MappingDraft, self: string): MappingDraft => {
  if (mapping.approval === undefined) return mapping;
  const { approvedBy: _by, approvedAt: _at, ...request } = mapping.approval;
  return { ...mapping, approval: self === '' ? request : { ...request, requestedBy: self } };
};

export const ApprovalFields = ({ mapping, self, faults, onMapping }: ApprovalFieldsProps) => {
  const { approval } = mapping;
  const put = (changed: ApprovalDraft, key: string): void => onMapping({ ...mapping, approval: changed }, `approval.${key}`);
  return (
    <>
      <label className="line">
        <input
          type="checkbox"
          checked={approval !== undefined}
          disabled={approval === undefined && self === ''}
          onChange={(event) =>
            onMapping(withField(mapping, 'approval', event.target.checked ? { justification: '', requestedBy: self } : undefined), null)
          }
          data-testid="mapping-approved"
        />
        Another operator must approve it
      </label>
      {approval === undefined ? null : (
        <>
          <TextField
            label="Why it is needed"
            value={approval.justification}
            onValue={(justification) => put({ ...approval, justification }, 'justification')}
            maxLength={500}
            faults={faults('approval', { part: 'justification' })}
            testId="mapping-approval-justification"
          />
          <TextField
            label="Ticket"
            value={approval.ticket ?? ''}
            onValue={(ticket) => put(withField(approval, 'ticket', ticket === '' ? undefined : ticket), 'ticket')}
            maxLength={100}
            testId="mapping-approval-ticket"
          />
          <TextField
            label="Ends"
            type="datetime-local"
            value={localTime(approval.expiresAt)}
            onValue={(text) => put(withField(approval, 'expiresAt', utcTime(text)), 'expiresAt')}
            faults={faults('approval', { part: 'expiresAt' })}
            hint={approval.expiresAt === undefined ? 'Empty = never.' : `From then on it is not in force: ${approval.expiresAt}`}
            testId="mapping-approval-expiresAt"
          />
          <p className="dim" data-testid="mapping-approval-state">
            {approval.approvedBy === undefined
              ? `Asked by ${approval.requestedBy}. Not in force until another operator approves it on the host.`
              : `Approved by ${approval.approvedBy}. Any change asks anew.`}
          </p>
        </>
      )}
    </>
  );
};
