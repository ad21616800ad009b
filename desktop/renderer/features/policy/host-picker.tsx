import Button from '@mui/material/Button';
import { useState } from 'react';
import { hostLabelTerm } from '../../../bridge/host-label.ts';
import { compileHostQuery, hostScope } from '../../../bridge/host-query.ts';
import type { HostScope } from '../../../bridge/host-query.ts';
import type { HostRow } from '../../../bridge/model.ts';
import { useGroupsQuery } from '../../client/group-api.ts';
import { readHostSearch } from '../../client/host-search.ts';
import { useFleet } from '../../client/shell.tsx';
import { countOf } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import type { Fault } from '../../widgets/field.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

interface HostPickerProps {
  readonly editor: PolicyEditor;
  readonly onLoad: (hostId: string) => void;
  readonly isLoading: boolean;
  readonly isSaved: boolean;
}

/** A name has none of these: what has one is a term of the host grammar, for instance site:ams1 or group:edges. */
const isTerm = (text: string): boolean => /[:=<>*]/.test(text);

/** None for a term that cannot be read. */
const fittingIds = (rows: readonly HostRow[], text: string, scope: HostScope): readonly string[] => {
  const { query, problem } = readHostSearch(text);
  if (problem !== null || query === null) return [];
  const test = compileHostQuery(query);
  return rows.filter((host) => test(host, scope)).map(({ hostId }) => hostId);
};

/** Which hosts the policy is for, and whose policy it starts from. */
export const HostPicker = ({ editor, onLoad, isLoading, isSaved }: HostPickerProps) => {
  const fleet = useFleet();
  const [unknown, setUnknown] = useState<readonly string[]>([]);
  const { hostIds, setHostIds } = editor;
  const nameOf = (hostId: string): string => fleet.row(hostId)?.name ?? hostId;
  const { data: groups = [] } = useGroupsQuery({});
  const labels = [...new Set(fleet.rows.flatMap((host) => host.labels))];
  const suggestions = [
    ...groups.map((group) => ({ value: `group:${group.name}`, about: countOf(group.hostIds.length, 'host') })),
    ...labels.map((label) => ({
      value: hostLabelTerm(label),
      about: countOf(fleet.rows.filter((host) => host.labels.includes(label)).length, 'host'),
    })),
    ...fleet.rows.map((host) => ({ value: host.name, about: host.labels.join(' ') })),
  ];
  const choose = (names: readonly string[]): void => {
    const byName = new Map([
      ...fleet.rows.map((host) => [host.name, [host.hostId]] as const),
      ...hostIds.map((hostId) => [nameOf(hostId), [hostId]] as const),
    ]);
    const scope = hostScope(groups, fleet.at ?? 0);
    const idsOf = (name: string): readonly string[] => byName.get(name) ?? (isTerm(name) ? fittingIds(fleet.rows, name, scope) : []);
    setUnknown(names.filter((name) => idsOf(name).length === 0));
    setHostIds([...new Set(names.flatMap(idsOf))]);
  };
  const faults: readonly Fault[] = unknown.map((name) => ({
    severity: 'warning',
    message: isTerm(name) ? (readHostSearch(name).problem?.message ?? `No host fits ${name}.`) : `No host is called ${name}.`,
  }));
  const [first] = hostIds;
  return (
    <Card title="For" aside={isSaved ? 'draft saved' : 'saving…'} testId="host-picker">
      <div className="stack">
        <TokenInput
          label="Hosts"
          values={hostIds.map(nameOf)}
          onValues={choose}
          suggestions={suggestions}
          placeholder="host, site:ams1 or group:edges"
          faults={faults}
          hint={hostIds.length === 0 ? 'Choose at least one host to see the effect.' : undefined}
          testId="policy-hosts"
        />
        <div className="line wrap">
          <Button
            variant="outlined"
            size="small"
            disabled={fleet.rows.length === 0 || hostIds.length === fleet.rows.length}
            onClick={() => setHostIds(fleet.rows.map((host) => host.hostId))}
            data-testid="choose-all-hosts"
          >
            All {fleet.rows.length}
          </Button>
          <Button
            variant="text"
            size="small"
            disabled={first === undefined || isLoading}
            onClick={() => first !== undefined && onLoad(first)}
            data-testid="load-policy"
          >
            {isLoading ? 'Loading…' : first === undefined ? 'Start from a host’s policy' : `Start from ${nameOf(first)}’s policy`}
          </Button>
        </div>
      </div>
    </Card>
  );
};
