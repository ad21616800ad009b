/** Short notices at the lower right. They stay until closed or until newer ones push them out. */
import { CircleAlert, CircleCheck, X } from 'lucide-react';
import { useEffect } from 'react';
import { useConsoleDispatch, useConsoleSelector } from '../client/store.ts';
import { noticeClosed } from '../client/window-slice.ts';
import type { Notice } from '../client/window-slice.ts';

/** Good news goes by itself after this time; problems stay. */
const okShownMs = 6_000;

export const Notices = () => {
  const notices = useConsoleSelector(({ window }) => window.notices);
  return (
    <div className="notices" role="status" aria-live="polite">
      {notices.map((notice) => (
        <NoticeView key={notice.id} notice={notice} />
      ))}
    </div>
  );
};

const NoticeView = ({ notice }: { readonly notice: Notice }) => {
  const dispatch = useConsoleDispatch();
  useEffect(() => {
    if (notice.kind !== 'ok') return undefined;
    const timer = setTimeout(() => dispatch(noticeClosed(notice.id)), okShownMs);
    return () => clearTimeout(timer);
  }, [dispatch, notice]);
  return (
    <div className="notice" data-testid="notice">
      <span className={notice.kind === 'ok' ? 'ok' : 'crit'}>
        {notice.kind === 'ok' ? <CircleCheck size={18} aria-hidden="true" /> : <CircleAlert size={18} aria-hidden="true" />}
      </span>
      <span>{notice.text}</span>
      <button type="button" className="icon-button" aria-label="Close this notice" onClick={() => dispatch(noticeClosed(notice.id))}>
        <X size={14} aria-hidden="true" />
      </button>
    </div>
  );
};
