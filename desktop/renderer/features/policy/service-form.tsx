import { freeName } from '../../client/policy-document.ts';
import type { ServiceDraft } from '../../client/policy-document.ts';
import { Card } from '../../widgets/card.tsx';
import { TextField } from '../../widgets/field.tsx';
import { TokenInput } from '../../widgets/token-input.tsx';
import { selectEntry } from './editor-place.ts';
import { EntryButtons, faultsAt, faultyEntries, replaced } from './entry-parts.tsx';
import type { FormProps } from './entry-parts.tsx';

export const ServiceForm = ({ editor, policy, problems, place, onPlace, service }: FormProps & { readonly service: ServiceDraft }) => {
  const index = place.selected.services;
  const faults = faultsAt(problems, 'services', index);
  const entries = faultyEntries(problems, 'services', index);
  /** Mappings follow a renamed service, unless the new name would mean something else. */
  const rename = (name: string): void => {
    const isPlain =
      name !== '' &&
      name !== 'any' &&
      service.name !== '' &&
      policy.services.every((other, position) => position === index || (other.name !== name && other.name !== service.name));
    const follow = (list: readonly string[]): readonly string[] =>
      isPlain ? list.map((entry) => (entry === service.name ? name : entry)) : list;
    const mappings = policy.mappings.map((mapping) => ({
      ...mapping,
      sources: follow(mapping.sources),
      destinations: follow(mapping.destinations),
    }));
    editor.setPolicy(
      { ...policy, services: replaced(policy.services, index, { ...service, name }), mappings },
      `services.${String(index)}.name`,
    );
  };
  const copy = (): void => {
    editor.setPolicy({ ...policy, services: [...policy.services, { ...service, name: freeName(service.name, policy.services) }] }, null);
    onPlace(selectEntry(place, { list: 'services', index: policy.services.length }));
  };
  const remove = (): void => {
    editor.setPolicy({ ...policy, services: policy.services.filter((_, position) => position !== index) }, null);
    onPlace(selectEntry(place, { list: 'services', index: Math.max(0, index - 1) }));
  };
  return (
    <Card title="Service" aside={<EntryButtons noun="service" onCopy={copy} onDelete={remove} />} testId="service-form">
      <div className="stack">
        <TextField
          label="Name"
          value={service.name}
          onValue={rename}
          faults={faults('name')}
          isMono
          hint="Mappings follow when it changes."
          testId="service-name"
        />
        <TokenInput
          label="Addresses"
          values={service.addresses}
          onValues={(addresses) =>
            editor.setPolicy({ ...policy, services: replaced(policy.services, index, { ...service, addresses }) }, null)
          }
          placeholder="198.18.4.0/24, 2001:db8:4::/48"
          hint="Addresses and CIDRs, IPv4 and IPv6."
          faults={faults('addresses')}
          isFaultyAt={entries('addresses')}
          testId="service-addresses"
        />
      </div>
    </Card>
  );
};
