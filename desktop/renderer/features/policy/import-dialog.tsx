import Button from '@mui/material/Button';
import { useState } from 'react';
import type { PolicyImport } from '../../../bridge/model.ts';
import { useImportPolicyMutation } from '../../client/bridge-api.ts';
import { readPolicyText, writePolicyText } from '../../client/policy-document.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

interface ImportDialogProps {
  readonly editor: PolicyEditor;
  readonly onClose: () => void;
}

/** Bytes of a file that are read; the core refuses more. */
const fileBytesMax = 3 << 20;

/** Reads a MarchProxy file or a policy document; what cannot be expressed is listed by name before it is taken. */
export const ImportDialog = ({ editor, onClose }: ImportDialogProps) => {
  const [text, setText] = useState('');
  const [refusal, setRefusal] = useState<string | null>(null);
  const [read, { data, error, isLoading, reset }] = useImportPolicyMutation();
  const failure = failureOf(error);
  const change = (next: string): void => {
    setText(next);
    setRefusal(null);
    reset();
  };
  const takeFile = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (file.size > fileBytesMax) setRefusal('The file is larger than 3 MiB: split it.');
    else change(await file.text());
  };
  const use = (imported: PolicyImport): void => {
    editor.replace(imported.policy, editor.hostIds, editor.bases);
    onClose();
  };
  /** A policy of Nest needs no translation: it is taken as it is, and checked like anything typed. */
  const readText = (): void => {
    const own = readPolicyText(text);
    if (own?.apiVersion === 'nest/v1') use({ format: 'Nest policy', policy: writePolicyText(own), notes: [] });
    else void read({ text });
  };
  return (
    <ConsoleDialog
      title="Import"
      onClose={onClose}
      width={720}
      testId="import-dialog"
      footer={
        <>
          <span className="grow dim">It replaces the draft; undo brings the draft back.</span>
          <Button variant="outlined" onClick={onClose}>
            Cancel
          </Button>
          {data === undefined ? (
            <Button variant="contained" disabled={text.trim() === '' || isLoading} onClick={readText} data-testid="read-import">
              {isLoading ? 'Reading…' : 'Read'}
            </Button>
          ) : (
            <Button variant="contained" onClick={() => use(data)} data-testid="use-import">
              Use as draft
            </Button>
          )}
        </>
      }
    >
      <ImportSource text={text} rows={data === undefined ? 12 : 5} onText={change} onFile={(file) => void takeFile(file)} />
      {refusal === null ? null : <div className="callout crit">{refusal}</div>}
      {failure === null ? null : (
        <>
          <FailureView failure={failure} />
          <ImportFormats />
        </>
      )}
      {data === undefined ? null : <ImportNotes imported={data} />}
    </ConsoleDialog>
  );
};

interface ImportSourceProps {
  readonly text: string;
  readonly rows: number;
  readonly onText: (text: string) => void;
  readonly onFile: (file: File | undefined) => void;
}

const ImportSource = ({ text, rows, onText, onFile }: ImportSourceProps) => (
  <>
    <div className="field">
      <label htmlFor="import-file">File (MarchProxy JSON or a Nest policy)</label>
      <input
        id="import-file"
        type="file"
        accept=".json,application/json"
        onChange={(event) => onFile(event.target.files?.[0])}
        data-testid="import-file"
      />
    </div>
    <div className="field">
      <label htmlFor="import-text">or its text</label>
      <textarea
        id="import-text"
        className="input mono"
        rows={rows}
        value={text}
        onChange={(event) => onText(event.target.value)}
        spellCheck={false}
        data-testid="import-text"
      />
    </div>
  </>
);

/** What can be read, said when something could not. */
const ImportFormats = () => (
  <div className="callout" data-testid="import-formats">
    <div>
      Nest reads
      <ul className="bullets">
        <li>
          a MarchProxy export: JSON with the lists <span className="mono">services</span> and <span className="mono">mappings</span>;
        </li>
        <li>
          a Nest policy: JSON with <span className="mono">"apiVersion": "nest/v1"</span>, as the editor’s JSON tab shows it.
        </li>
      </ul>
    </div>
  </div>
);

const ImportNotes = ({ imported }: { readonly imported: PolicyImport }) => (
  <div data-testid="import-notes">
    <p>
      Read as <strong>{imported.format}</strong>.{' '}
      {imported.notes.length === 0 ? 'Everything could be expressed.' : `${countOf(imported.notes.length, 'thing')} to know:`}
    </p>
    {imported.notes.map((note) => (
      <div key={`${note.subject} ${note.code} ${note.message}`} className="warning">
        <span className="warn">
          <span className="dot triangle" aria-hidden="true" />
        </span>
        <div>
          <h3 className="mono">{note.subject}</h3>
          <p>{note.message}</p>
        </div>
      </div>
    ))}
  </div>
);
