/** The form of a deny list: prefixes in the document, or a file on the hosts. */
import { useState } from 'react';
import { freeName } from '../../client/policy-document.ts';
import type { DenyListDraft } from '../../client/policy-document.ts';
import { formatCount } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { Choice, FieldShell, TextField } from '../../widgets/field.tsx';
import { selectEntry } from './editor-place.ts';
import { EntryButtons, faultsAt, replaced, withField } from './entry-parts.tsx';
import type { FormProps } from './entry-parts.tsx';
import { localTime, utcTime } from './local-time.ts';

export const DenyListForm = ({ editor, policy, problems, place, onPlace, list }: FormProps & { readonly list: DenyListDraft }) => {
  const index = place.selected.denyLists;
  const { denyLists = [] } = policy;
  const faults = faultsAt(problems, 'denyLists', index);
  const put = (changed: DenyListDraft, key: string | null): void =>
    editor.setPolicy(
      { ...policy, denyLists: replaced(denyLists, index, changed) },
      key === null ? null : `denyLists.${String(index)}.${key}`,
    );
  const copy = (): void => {
    editor.setPolicy({ ...policy, denyLists: [...denyLists, { ...list, name: freeName(list.name, denyLists) }] }, null);
    onPlace(selectEntry(place, { list: 'denyLists', index: denyLists.length }));
  };
  const remove = (): void => {
    editor.setPolicy({ ...policy, denyLists: denyLists.filter((_, position) => position !== index) }, null);
    onPlace(selectEntry(place, { list: 'denyLists', index: Math.max(0, index - 1) }));
  };
  return (
    <Card title="Deny list" aside={<EntryButtons noun="deny-list" onCopy={copy} onDelete={remove} />} testId="deny-list-form">
      <div className="stack">
        <TextField
          label="Name"
          value={list.name}
          onValue={(name) => put({ ...list, name }, 'name')}
          faults={faults('name')}
          isMono
          testId="denyList-name"
        />
        <PlaceChoice list={list} onList={(changed) => put(changed, null)} />
        {list.file === undefined ? (
          <PrefixText
            prefixes={list.prefixes ?? []}
            faults={faults('prefixes')}
            onPrefixes={(prefixes) => put({ ...list, prefixes }, 'prefixes')}
          />
        ) : (
          <TextField
            label="File"
            value={list.file}
            onValue={(file) => put({ ...list, file }, 'file')}
            faults={faults('file')}
            hint="In each host’s folder of deny lists, one prefix a line."
            isMono
            testId="denyList-file"
          />
        )}
        <TextField
          label="Ends"
          type="datetime-local"
          value={localTime(list.expires)}
          onValue={(text) => put(withField(list, 'expires', text === '' ? undefined : utcTime(text)), 'expires')}
          faults={faults('expires')}
          hint={list.expires === undefined ? 'Empty = never.' : list.expires}
          testId="denyList-expires"
        />
      </div>
    </Card>
  );
};

/** A list has its prefixes in the document or in a file, never both. */
const PlaceChoice = ({ list, onList }: { readonly list: DenyListDraft; readonly onList: (list: DenyListDraft) => void }) => (
  <Choice
    label="The prefixes are"
    value={list.file === undefined ? 'here' : 'file'}
    options={[
      { value: 'here', title: 'in the policy' },
      { value: 'file', title: 'in a file on the host' },
    ]}
    onValue={(kind) => {
      const { prefixes: _prefixes, file: _file, ...rest } = list;
      onList(kind === 'here' ? { ...rest, prefixes: [] } : { ...rest, file: `${list.name}.txt` });
    }}
    testId="denyList-kind"
  />
);

const entriesOf = (text: string): readonly string[] => text.split(/[\s,;]+/).filter((entry) => entry !== '');

interface PrefixTextProps {
  readonly prefixes: readonly string[];
  readonly faults: readonly { readonly severity: 'error' | 'warning'; readonly message: string }[];
  readonly onPrefixes: (prefixes: readonly string[]) => void;
}

const faultsShown = 5;

/** Lines, not chips: a list may have thousands. What is typed stays as typed as long as it says what the document says. */
const PrefixText = ({ prefixes, faults, onPrefixes }: PrefixTextProps) => {
  const [typed, setTyped] = useState(prefixes.join('\n'));
  const read = entriesOf(typed);
  const isTyped = read.length === prefixes.length && read.every((entry, position) => entry === prefixes[position]);
  const text = isTyped ? typed : prefixes.join('\n');
  return (
    <FieldShell
      id="deny-list-prefixes"
      label={`Addresses and CIDRs, one a line (${formatCount(prefixes.length)})`}
      hint="IPv4 and IPv6."
      faults={faults.slice(0, faultsShown)}
    >
      <textarea
        id="deny-list-prefixes"
        className="input mono"
        rows={10}
        spellCheck={false}
        value={text}
        placeholder={'198.18.66.0/24\n2001:db8:66::/48'}
        aria-invalid={faults.some(({ severity }) => severity === 'error')}
        aria-describedby="deny-list-prefixes-about"
        onChange={(event) => {
          setTyped(event.target.value);
          onPrefixes(entriesOf(event.target.value));
        }}
        data-testid="denyList-prefixes"
      />
    </FieldShell>
  );
};
