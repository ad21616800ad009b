/** The width of an element, from one observer shared by all charts: a chart gets fixed sizes and redraws only when they change. */
import { useEffect, useRef, useState } from 'react';
import type { RefObject } from 'react';

type Listener = (width: number) => void;

const listeners = new WeakMap<Element, Listener>();
let shared: ResizeObserver | undefined;

const sharedObserver = (): ResizeObserver | undefined => {
  if (typeof ResizeObserver === 'undefined') return undefined;
  shared ??= new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) listeners.get(target)?.(Math.floor(contentRect.width));
  });
  return shared;
};

/** Width in pixels; 0 before it is known. */
export const useWidth = (): readonly [RefObject<HTMLDivElement | null>, number] => {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const { current } = element;
    const observer = sharedObserver();
    if (current === null || observer === undefined) return undefined;
    listeners.set(current, setWidth);
    observer.observe(current);
    return () => {
      observer.unobserve(current);
      listeners.delete(current);
    };
  }, []);
  return [element, width];
};
