/** Mappings, services and deny lists of the draft as tables; a press selects the entry. */
import { ListPlus } from 'lucide-react';
import type { PolicyProblem } from '../../../bridge/model.ts';
import { readPolicyPath } from '../../client/policy-document.ts';
import type { DenyListDraft, MappingDraft, PolicyDraft, PolicyListName } from '../../client/policy-document.ts';
import { formatCount } from '../../client/units.ts';
import { Blank } from '../../widgets/blank.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';
import { VirtualGrid } from '../../widgets/virtual-grid.tsx';
import { selectEntry } from './editor-place.ts';
import type { EditorPlace } from './editor-place.ts';

interface EntryGridProps {
  readonly policy: PolicyDraft;
  readonly problems: readonly PolicyProblem[];
  readonly place: EditorPlace;
  readonly onPlace: (place: EditorPlace) => void;
}

const faultyIndexes = (problems: readonly PolicyProblem[], list: PolicyListName): ReadonlySet<number> =>
  new Set(
    problems.flatMap(({ path, severity }) => {
      const place = readPolicyPath(path);
      return severity === 'error' && place?.list === list ? [place.index] : [];
    }),
  );

export const MappingsGrid = ({ policy, problems, place, onPlace }: EntryGridProps) => {
  const faulty = faultyIndexes(problems, 'mappings');
  const select = (index: number): void => onPlace(selectEntry(place, { list: 'mappings', index }));
  if (policy.mappings.length === 0) {
    return (
      <Blank title="No mappings yet" icon={<ListPlus size={28} aria-hidden="true" />}>
        A mapping says who may reach what. Without any, the default action decides: everything is{' '}
        {policy.defaultAction === 'allow' ? 'allowed' : 'denied'}.
      </Blank>
    );
  }
  return (
    <VirtualGrid
      label="Mappings"
      layout="mapping-grid"
      testId="mappings-grid"
      columns={[
        { id: 'priority', title: 'Prio', isRight: true },
        { id: 'name', title: 'Mapping' },
        { id: 'sources', title: 'From' },
        { id: 'destinations', title: 'To' },
        { id: 'traffic', title: 'Traffic' },
        { id: 'action', title: 'Action' },
        { id: 'problems', title: <span className="unseen">Problems</span> },
      ]}
      count={policy.mappings.length}
      keyOf={String}
      shown={place.selected.mappings}
      isSelected={(index) => index === place.selected.mappings}
      hasProblem={(index) => faulty.has(index)}
      isPressable
      cells={(index) => {
        const mapping = policy.mappings[index];
        if (mapping === undefined) return [];
        return [
          <span key="priority" className="mono">
            {mapping.priority}
          </span>,
          <RowButton key="name" name={mapping.name} isCurrent={index === place.selected.mappings} onPress={() => select(index)} />,
          <span key="sources" className="mono">
            {mapping.sources.join(', ')}
          </span>,
          <span key="destinations" className="mono">
            {mapping.destinations.join(', ')}
          </span>,
          <span key="traffic" className="mono">
            {trafficText(mapping)}
          </span>,
          <VerdictLabel key="action" isAllowed={mapping.action !== 'deny'} word={mapping.action} />,
          faulty.has(index) ? (
            <span key="problems" className="crit" role="img" aria-label="has a problem">
              <span className="dot square" />
            </span>
          ) : null,
        ];
      }}
    />
  );
};

/** "tcp 443, 8000-8100". */
export const trafficText = ({ protocols, ports = [] }: MappingDraft): string =>
  `${protocols.join(', ')}${ports.length === 0 ? '' : ` ${ports.join(', ')}`}`;

const RowButton = ({ name, isCurrent, onPress }: { readonly name: string; readonly isCurrent: boolean; readonly onPress: () => void }) => (
  <button type="button" className="link-button mono cut" aria-pressed={isCurrent} onClick={onPress}>
    {name === '' ? 'unnamed' : name}
  </button>
);

export const ServicesGrid = ({ policy, problems, place, onPlace }: EntryGridProps) => {
  const faulty = faultyIndexes(problems, 'services');
  const select = (index: number): void => onPlace(selectEntry(place, { list: 'services', index }));
  const uses = new Map<string, number>();
  for (const { sources, destinations } of policy.mappings)
    for (const name of new Set([...sources, ...destinations])) uses.set(name, (uses.get(name) ?? 0) + 1);
  if (policy.services.length === 0) {
    return (
      <Blank title="No services yet" icon={<ListPlus size={28} aria-hidden="true" />}>
        A service is a name for addresses, IPv4 and IPv6. Mappings speak of services, so that an address is written once.
      </Blank>
    );
  }
  return (
    <VirtualGrid
      label="Services"
      layout="service-grid"
      testId="services-grid"
      columns={[
        { id: 'name', title: 'Service' },
        { id: 'addresses', title: 'Addresses' },
        { id: 'uses', title: 'Mappings', isRight: true },
      ]}
      count={policy.services.length}
      keyOf={String}
      shown={place.selected.services}
      isSelected={(index) => index === place.selected.services}
      hasProblem={(index) => faulty.has(index)}
      isPressable
      cells={(index) => {
        const service = policy.services[index];
        if (service === undefined) return [];
        return [
          <RowButton key="name" name={service.name} isCurrent={index === place.selected.services} onPress={() => select(index)} />,
          <span key="addresses" className="mono">
            {service.addresses.length === 0 ? <span className="off">none</span> : service.addresses.join(', ')}
          </span>,
          <span key="uses" className="mono">
            {uses.get(service.name) ?? 0}
          </span>,
        ];
      }}
    />
  );
};

/** "3 prefixes", or the file they stand in. */
const contentText = ({ prefixes, file }: DenyListDraft): string =>
  file === undefined ? (prefixes ?? []).slice(0, prefixesShown).join(', ') : `file ${file}`;
const prefixesShown = 12;

export const DenyListsGrid = ({ policy, problems, place, onPlace }: EntryGridProps) => {
  const faulty = faultyIndexes(problems, 'denyLists');
  const { denyLists = [] } = policy;
  const select = (index: number): void => onPlace(selectEntry(place, { list: 'denyLists', index }));
  if (denyLists.length === 0) {
    return (
      <Blank title="No deny lists yet" icon={<ListPlus size={28} aria-hidden="true" />}>
        Packets from and to the prefixes of a deny list are dropped before any mapping is asked. For one host at once, its page has deny
        lists of its own.
      </Blank>
    );
  }
  return (
    <VirtualGrid
      label="Deny lists"
      layout="deny-grid"
      testId="deny-lists-grid"
      columns={[
        { id: 'name', title: 'Deny list' },
        { id: 'content', title: 'Prefixes' },
        { id: 'count', title: 'Count', isRight: true },
        { id: 'expires', title: 'Ends' },
      ]}
      count={denyLists.length}
      keyOf={String}
      shown={place.selected.denyLists}
      isSelected={(index) => index === place.selected.denyLists}
      hasProblem={(index) => faulty.has(index)}
      isPressable
      cells={(index) => {
        const list = denyLists[index];
        if (list === undefined) return [];
        return [
          <RowButton key="name" name={list.name} isCurrent={index === place.selected.denyLists} onPress={() => select(index)} />,
          <span key="content" className="mono">
            {contentText(list)}
          </span>,
          <span key="count" className="mono">
            {list.file === undefined ? formatCount(list.prefixes?.length ?? 0) : '–'}
          </span>,
          <span key="expires" className={list.expires === undefined ? 'dim' : 'mono'}>
            {list.expires ?? 'never'}
          </span>,
        ];
      }}
    />
  );
};
