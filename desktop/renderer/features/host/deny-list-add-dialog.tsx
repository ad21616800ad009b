/** Prefixes for a list that the host keeps: pasted or from a file, counted before they are sent. */
import Button from '@mui/material/Button';
import { useMemo, useState } from 'react';
import type { InputOf } from '../../../bridge/contract.ts';
import { useUpdateDenyListMutation } from '../../client/bridge-api.ts';
import { denyFaultsShown, readDenyText } from '../../client/deny-text.ts';
import type { DenyText } from '../../client/deny-text.ts';
import { toFailure } from '../../client/failure.ts';
import type { Failure } from '../../client/failure.ts';
import { useShell } from '../../client/shell.tsx';
import { useConsoleDispatch } from '../../client/store.ts';
import { formatCount } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { SelectField, TextField } from '../../widgets/field.tsx';
import { prefixCount } from './deny-words.tsx';
import type { DenyList } from './deny-words.tsx';

interface DenyListAddDialogProps {
  readonly hostId: string;
  readonly lists: readonly DenyList[];
  /** The list chosen first; "" = a new one. */
  readonly into: string;
  readonly onDone: (list: string) => void;
  readonly onClose: () => void;
}

/** A call carries so many; more are sent in several. */
const prefixesPerCall = 10_000;
const prefixesMax = 100_000;
const fileBytesMax = 8 << 20;

const ends = [
  { value: '0', title: 'never' },
  { value: '3600', title: 'in 1 hour' },
  { value: '86400', title: 'in 1 day' },
  { value: '604800', title: 'in 7 days' },
  { value: '2592000', title: 'in 30 days' },
] as const;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const nameFault = (name: string, lists: readonly DenyList[]): string | null => {
  if (lists.some((list) => list.origin === 'policy' && list.name === name)) return 'A list of the policy has this name: choose another.';
  return name === '' || namePattern.test(name)
    ? null
    : '1 to 63 letters, digits, dots, dashes and underscores; starts with a letter or digit.';
};

export const DenyListAddDialog = ({ hostId, lists, into, onDone, onClose }: DenyListAddDialogProps) => {
  const { now } = useShell();
  const [name, setName] = useState(into);
  const [text, setText] = useState('');
  const [refusal, setRefusal] = useState<string | null>(null);
  const [lasts, setLasts] = useState('0');
  const [isLeavingOut, setLeavingOut] = useState(false);
  const read = useMemo(() => readDenyText(text), [text]);
  const { send, sent, failure } = useSending(hostId);
  const fault = nameFault(name, lists);
  const count = read.prefixes.length;
  const isReady =
    name !== '' && fault === null && count > 0 && count <= prefixesMax && (read.faultCount === 0 || isLeavingOut) && sent === null;
  const takeFile = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    const isTooLarge = file.size > fileBytesMax;
    setRefusal(isTooLarge ? 'The file is larger than 8 MiB: put it into the host’s folder of deny lists and name it in the policy.' : null);
    if (!isTooLarge) setText(await file.text());
  };
  const go = async (): Promise<void> => {
    const expiresAt = lasts === '0' ? undefined : now() + Number(lasts) * 1_000;
    if (!(await send(name, read.prefixes, expiresAt))) return;
    onDone(name);
    onClose();
  };
  return (
    <ConsoleDialog
      title="Add denied prefixes"
      onClose={sent === null ? onClose : undefined}
      width={640}
      testId="deny-add-dialog"
      footer={
        <>
          <span className="grow dim">
            {sent === null ? 'In force at once, without a revision.' : `${formatCount(sent)} of ${formatCount(count)} sent…`}
          </span>
          <Button variant="outlined" onClick={onClose} disabled={sent !== null}>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={!isReady} onClick={() => void go()} data-testid="deny-add-confirm">
            {count === 0 ? 'Deny' : `Deny ${prefixCount(count)}`}
          </Button>
        </>
      }
    >
      <DenyTarget name={name} fault={fault} lists={lists} lasts={lasts} onName={setName} onLasts={setLasts} />
      <DenySource text={text} onText={setText} onFile={(file) => void takeFile(file)} />
      {refusal === null ? null : <div className="callout crit">{refusal}</div>}
      <DenyPreview read={read} isLeavingOut={isLeavingOut} onLeavingOut={setLeavingOut} />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

interface DenyTargetProps {
  readonly name: string;
  readonly fault: string | null;
  readonly lists: readonly DenyList[];
  readonly lasts: string;
  readonly onName: (name: string) => void;
  readonly onLasts: (lasts: string) => void;
}

/** Which list they go to, and how long they stay. */
const DenyTarget = ({ name, fault, lists, lasts, onName, onLasts }: DenyTargetProps) => {
  const ours = lists.filter(({ origin }) => origin === 'host');
  return (
    <>
      <div className="field-row" style={{ gridTemplateColumns: '2fr 1fr' }}>
        <TextField
          label="List"
          value={name}
          onValue={onName}
          list="deny-list-names"
          placeholder="incident-41"
          isMono
          autoFocus
          hint={ours.some((list) => list.name === name) ? 'They are added to this list.' : 'A new list of this host.'}
          faults={fault === null ? [] : [{ severity: 'error', message: fault }]}
          testId="deny-name"
        />
        <SelectField label="They end" value={lasts} options={ends} onValue={onLasts} testId="deny-lasts" />
      </div>
      <datalist id="deny-list-names">
        {ours.map((list) => (
          <option key={list.name} value={list.name}>
            {list.name}
          </option>
        ))}
      </datalist>
    </>
  );
};

interface DenySourceProps {
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly onFile: (file: File | undefined) => void;
}

const DenySource = ({ text, onText, onFile }: DenySourceProps) => (
  <>
    <div className="field">
      <label htmlFor="deny-text">Addresses and CIDRs, one a line</label>
      <textarea
        id="deny-text"
        className="input mono"
        rows={8}
        value={text}
        onChange={(event) => onText(event.target.value)}
        placeholder={'198.18.66.0/24   # comment\n2001:db8:66::/48'}
        spellCheck={false}
        data-testid="deny-text"
      />
    </div>
    <div className="field">
      <label htmlFor="deny-file">or a file (text or CSV, first column)</label>
      <input
        id="deny-file"
        type="file"
        accept=".txt,.csv,.list,text/plain,text/csv"
        onChange={(event) => onFile(event.target.files?.[0])}
        data-testid="deny-file"
      />
    </div>
  </>
);

interface DenyPreviewProps {
  readonly read: DenyText;
  readonly isLeavingOut: boolean;
  readonly onLeavingOut: (isLeavingOut: boolean) => void;
}

/** How much of it can be taken, and what cannot, by line. */
const DenyPreview = ({ read, isLeavingOut, onLeavingOut }: DenyPreviewProps) => {
  const { prefixes, ipv4, ipv6, repeated, faultCount, faults } = read;
  if (prefixes.length === 0 && faultCount === 0) return null;
  return (
    <div className="stack" data-testid="deny-preview">
      <p>
        <strong className={prefixes.length === 0 ? '' : 'ok'}>{prefixCount(prefixes.length)}</strong>
        <span className="dim">{`: ${formatCount(ipv4)} IPv4, ${formatCount(ipv6)} IPv6${repeated === 0 ? '' : `, ${formatCount(repeated)} repeated`}`}</span>
      </p>
      {prefixes.length > prefixesMax ? (
        <div className="callout crit">{`More than ${formatCount(prefixesMax)} cannot be kept: use wider CIDRs.`}</div>
      ) : null}
      {faultCount === 0 ? null : (
        <>
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reachable by keyboard */}
          <ul className="faults" aria-label="Lines that cannot be read" tabIndex={0}>
            {faults.map(({ line, message }) => (
              <li key={line}>
                <span className="mono crit">line {line}</span> {message}
              </li>
            ))}
            {faultCount > denyFaultsShown ? <li className="dim">{`and ${formatCount(faultCount - denyFaultsShown)} more`}</li> : null}
          </ul>
          <label className="line">
            <input
              type="checkbox"
              checked={isLeavingOut}
              onChange={(event) => onLeavingOut(event.target.checked)}
              data-testid="deny-leave-out"
            />
            {faultCount === 1 ? 'Leave this line out' : `Leave these ${formatCount(faultCount)} lines out`}
          </label>
        </>
      )}
    </div>
  );
};

/** Sends prefixes in as many calls as needed; stops at the first refusal. */
const useSending = (hostId: string) => {
  const [update] = useUpdateDenyListMutation();
  const dispatch = useConsoleDispatch();
  const [sent, setSent] = useState<number | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const send = async (name: string, prefixes: readonly string[], expiresAt: number | undefined): Promise<boolean> => {
    setFailure(null);
    let added = 0;
    try {
      for (let start = 0; start < prefixes.length; start += prefixesPerCall) {
        setSent(start);
        const input: InputOf<'host.denyList.update'> = { hostId, name, add: prefixes.slice(start, start + prefixesPerCall), remove: [] };
        added += (await update(expiresAt === undefined ? input : { ...input, expiresAt }).unwrap()).added;
      }
    } catch (error) {
      setFailure(toFailure(error));
      return false;
    } finally {
      setSent(null);
    }
    const known = prefixes.length - added;
    dispatch(
      noticeRaised({
        kind: 'ok',
        text: `${prefixCount(added)} denied by ${name} from now on${known > 0 ? `, ${formatCount(known)} were on it already` : ''}.`,
      }),
    );
    return true;
  };
  return { send, sent, failure };
};
