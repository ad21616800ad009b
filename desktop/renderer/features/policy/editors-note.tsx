import { useWatchEditorsQuery } from '../../client/change-api.ts';
import { formatTime } from '../../client/units.ts';

/** Names told; more are counted. */
const namesMax = 3;

/** Says to the hosts that their policy is being edited here, and to the operator who else does. */
export const EditorsNote = ({ hostIds }: { readonly hostIds: readonly string[] }) => {
  const { data } = useWatchEditorsQuery({ hostIds: [...hostIds].sort() });
  const others = (data?.value ?? []).flatMap(({ hostName, editors }) => editors.map((editor) => ({ hostName, ...editor })));
  if (others.length === 0) return null;
  const told = others
    .slice(0, namesMax)
    .map(({ operator, hostName, since }) => `${operator} is editing ${hostName} since ${formatTime(since)}`);
  const more = others.length - told.length;
  return (
    <div className="callout warn" role="status" data-testid="editors">
      {told.join('. ')}
      {more > 0 ? `. And ${String(more)} more` : ''}. Who applies second is asked to merge.
    </div>
  );
};
