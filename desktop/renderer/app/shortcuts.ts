/** Keys that work everywhere: Ctrl K, ?, / and G with the letter of a page. */
import { useCallback, useEffect, useState } from 'react';
import { useNavigate } from 'react-router';
import { allPages } from './pages.ts';

/** The letter must follow the G within this time, milliseconds. */
const chordMs = 1_200;

export const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));

const focusFilter = (event: KeyboardEvent): void => {
  const filter = document.querySelector<HTMLInputElement>('[data-filter]');
  if (filter === null) return;
  event.preventDefault();
  filter.focus();
};

export const useShortcuts = (onSearch: (isOpen: boolean) => void): { readonly isSheetOpen: boolean; readonly closeSheet: () => void } => {
  const navigate = useNavigate();
  const [isSheetOpen, setSheetOpen] = useState(false);
  useEffect(() => {
    let chordAt = Number.NEGATIVE_INFINITY;
    const press = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        onSearch(true);
        return;
      }
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('[role="dialog"]') !== null)
        return;
      const page = event.timeStamp - chordAt < chordMs ? allPages.find(({ key }) => key === event.key) : undefined;
      chordAt = Number.NEGATIVE_INFINITY;
      if (page !== undefined) void navigate(page.path);
      else if (event.key === 'g') chordAt = event.timeStamp;
      else if (event.key === '?') setSheetOpen(true);
      else if (event.key === '/') focusFilter(event);
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, [navigate, onSearch]);
  return { isSheetOpen, closeSheet: useCallback(() => setSheetOpen(false), []) };
};
