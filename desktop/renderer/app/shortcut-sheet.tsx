import { ConsoleDialog } from '../widgets/console-dialog.tsx';
import { allPages } from './pages.ts';

const keys: readonly (readonly [string, string])[] = [
  ['Ctrl K', 'Search hosts, pages and actions'],
  ['/', 'Go to the filter of the page'],
  ['?', 'This sheet'],
  ...allPages.map(({ key, title }) => [`G then ${key.toUpperCase()}`, title] as const),
  ['Ctrl Z, Ctrl Shift Z', 'Undo and redo in the policy editor'],
  ['Escape', 'Close a dialog'],
];

/** All shortcuts on one sheet. */
export const ShortcutSheet = ({ onClose }: { readonly onClose: () => void }) => (
  <ConsoleDialog title="Keyboard shortcuts" onClose={onClose} width={440} testId="shortcuts">
    <dl className="shortcuts">
      {keys.map(([key, meaning]) => (
        <div key={key} style={{ display: 'contents' }}>
          <dt>
            <kbd className="kbd">{key}</kbd>
          </dt>
          <dd>{meaning}</dd>
        </div>
      ))}
    </dl>
  </ConsoleDialog>
);
