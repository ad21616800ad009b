/** The command palette: hosts, pages and actions by a few letters. */
import Dialog from '@mui/material/Dialog';
import { Plus, Search, Server } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import { useState } from 'react';
import type { KeyboardEvent } from 'react';
import { useNavigate } from 'react-router';
import type { HostRow } from '../../bridge/model.ts';
import { hostLink } from '../client/links.ts';
import { useFleet } from '../client/shell.tsx';
import { allPages } from './pages.ts';

interface PaletteEntry {
  readonly id: string;
  readonly group: 'Actions' | 'Pages' | 'Hosts';
  readonly title: string;
  readonly about: string;
  readonly icon: LucideIcon;
  readonly path: string;
}

/** Hosts listed at most; more letters narrow them. */
const hostsMax = 12;

const actions: readonly PaletteEntry[] = [
  { id: 'add-host', group: 'Actions', title: 'Add host', about: 'make a join token', icon: Plus, path: '/hosts?add=1' },
  { id: 'import', group: 'Actions', title: 'Import a MarchProxy file', about: 'into the draft', icon: Plus, path: '/policy?import=1' },
];

const pages: readonly PaletteEntry[] = allPages.map(({ id, title, path, icon }) => ({ id, group: 'Pages', title, about: '', icon, path }));

/** What the letters fit, hosts first once there are letters. */
const entriesOf = (rows: readonly HostRow[], wanted: string): readonly PaletteEntry[] => {
  const isWanted = (...texts: readonly string[]): boolean => texts.some((candidate) => candidate.toLowerCase().includes(wanted));
  const hosts = rows
    .filter((host) => isWanted(host.name, host.address, ...host.labels))
    .slice(0, hostsMax)
    .map((host): PaletteEntry => ({
      id: host.hostId,
      group: 'Hosts',
      title: host.name,
      about: [host.address, ...host.labels].join(' · '),
      icon: Server,
      path: hostLink(host.hostId),
    }));
  const others = [...actions, ...pages].filter((entry) => isWanted(entry.title));
  return wanted === '' ? [...others, ...hosts] : [...hosts, ...others];
};

export const Palette = ({ onClose }: { readonly onClose: () => void }) => {
  const fleet = useFleet();
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const [active, setActive] = useState(0);
  const entries = entriesOf(fleet.rows, text.trim().toLowerCase());

  const choose = (entry: PaletteEntry | undefined): void => {
    if (entry === undefined) return;
    onClose();
    void navigate(entry.path);
  };
  const press = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0 && entries.length > 0) {
      event.preventDefault();
      setActive((active + step + entries.length) % entries.length);
    } else if (event.key === 'Enter') choose(entries[active]);
  };
  return (
    <Dialog
      open
      onClose={onClose}
      aria-labelledby="palette-title"
      maxWidth={false}
      slotProps={{ paper: { sx: { width: 600, alignSelf: 'flex-start', mt: '12vh' } }, transition: { timeout: 0 } }}
      data-testid="palette"
    >
      <h2 id="palette-title" className="unseen">
        Search
      </h2>
      <div className="palette-input">
        <Search size={18} aria-hidden="true" />
        <input
          autoFocus
          role="combobox"
          aria-label="Search hosts, pages and actions"
          aria-expanded
          aria-controls="palette-list"
          aria-activedescendant={entries[active] === undefined ? undefined : `palette-${entries[active].id}`}
          placeholder="Search hosts, pages and actions"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setActive(0);
          }}
          onKeyDown={press}
          data-testid="palette-input"
        />
        <span className="kbd">Esc</span>
      </div>
      <PaletteList entries={entries} active={active} onChoose={choose} />
    </Dialog>
  );
};

interface PaletteListProps {
  readonly entries: readonly PaletteEntry[];
  readonly active: number;
  readonly onChoose: (entry: PaletteEntry) => void;
}

const PaletteList = ({ entries, active, onChoose }: PaletteListProps) => (
  <div id="palette-list" role="listbox" aria-label="Results" className="palette-list">
    {entries.length === 0 ? <div className="palette-group">Nothing is called that</div> : null}
    {entries.map((entry, index) => {
      const Icon = entry.icon;
      return (
        <div key={entry.id} role="presentation">
          {entries[index - 1]?.group === entry.group ? null : (
            <div className="palette-group" role="presentation">
              {entry.group}
            </div>
          )}
          <div
            id={`palette-${entry.id}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === active}
            className="palette-entry"
            onPointerDown={() => onChoose(entry)}
          >
            <Icon size={16} aria-hidden="true" />
            <span>{entry.title}</span>
            <span className="dim cut">{entry.about}</span>
          </div>
        </div>
      );
    })}
  </div>
);
