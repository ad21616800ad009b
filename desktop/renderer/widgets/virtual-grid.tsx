/** A table of any length: only the rows on screen exist. Columns are laid out by the class given. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { useEffect, useRef } from 'react';
import type { ReactNode } from 'react';
import { useSettingsQuery } from '../client/bridge-api.ts';

export interface GridColumn {
  readonly id: string;
  readonly title: ReactNode;
  readonly isRight?: boolean;
  readonly canSort?: boolean;
}

export interface GridSort {
  readonly column: string;
  readonly isDescending: boolean;
}

interface VirtualGridProps {
  readonly label: string;
  /** Class that sets grid-template-columns. */
  readonly layout: string;
  readonly columns: readonly GridColumn[];
  readonly count: number;
  readonly keyOf: (index: number) => string;
  /** One element a column, in order. */
  readonly cells: (index: number) => readonly ReactNode[];
  readonly sort?: GridSort;
  readonly onSort?: (column: string) => void;
  readonly isSelected?: (index: number) => boolean;
  readonly hasProblem?: (index: number) => boolean;
  /** The row's first button takes presses anywhere on the row. */
  readonly isPressable?: boolean;
  /** Row scrolled into view when it changes. */
  readonly shown?: number;
  readonly testId?: string;
}

const rowPixels = { comfortable: 34, compact: 28 } as const;
const headPixels = 33;
const overscan = 6;

export const VirtualGrid = (props: VirtualGridProps) => {
  const { label, layout, columns, count, keyOf, cells, sort, onSort, isSelected, hasProblem, isPressable = false, shown, testId } = props;
  const scroll = useRef<HTMLDivElement>(null);
  const { data: settings } = useSettingsQuery({});
  const height = rowPixels[settings?.density ?? 'comfortable'];
  // oxlint-disable-next-line react/incompatible-library -- its functions are read anew in every render, nothing is memoised here
  const virtualizer = useVirtualizer({
    count,
    scrollMargin: headPixels,
    scrollPaddingStart: headPixels,
    getScrollElement: () => scroll.current,
    estimateSize: () => height,
    overscan,
    getItemKey: keyOf,
  });
  useEffect(() => virtualizer.measure(), [virtualizer, height]);
  useEffect(() => {
    if (shown !== undefined && shown >= 0 && shown < count) virtualizer.scrollToIndex(shown);
  }, [virtualizer, shown, count]);
  return (
    <div className="grid" role="table" aria-label={label} aria-rowcount={count + 1} data-testid={testId}>
      <div className="grid-scroll" ref={scroll} role="presentation">
        <div className={`grid-head ${layout}`} role="row" aria-rowindex={1}>
          {columns.map((column) => (
            <HeadCell key={column.id} column={column} sort={sort} onSort={onSort} />
          ))}
        </div>
        <div className="grid-space" role="presentation" style={{ height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map((item) => (
            <div
              key={item.key}
              className={`grid-row row ${layout}${isPressable ? ' pressable' : ''}`}
              role="row"
              aria-rowindex={item.index + 2}
              data-selected={isSelected?.(item.index) ?? false}
              data-problem={hasProblem?.(item.index) ?? false}
              style={{ transform: `translateY(${String(item.start - headPixels)}px)` }}
            >
              {cells(item.index).map((cell, position) => (
                <div
                  key={columns[position]?.id ?? position}
                  role="cell"
                  className={columns[position]?.isRight === true ? 'right cut' : 'cut'}
                >
                  {cell}
                </div>
              ))}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
};

interface HeadCellProps {
  readonly column: GridColumn;
  readonly sort: GridSort | undefined;
  readonly onSort: ((column: string) => void) | undefined;
}

const HeadCell = ({ column, sort, onSort }: HeadCellProps) => {
  const isSorted = sort?.column === column.id;
  const direction = isSorted ? (sort.isDescending ? 'descending' : 'ascending') : undefined;
  const Arrow = direction === 'descending' ? ArrowDown : ArrowUp;
  return (
    <div role="columnheader" className={column.isRight === true ? 'right' : ''} aria-sort={direction}>
      {column.canSort === true && onSort !== undefined ? (
        <button type="button" className="sort" data-sorted={isSorted} onClick={() => onSort(column.id)} data-testid={`sort-${column.id}`}>
          {column.title}
          {isSorted ? <Arrow size={12} aria-hidden="true" /> : null}
        </button>
      ) : (
        column.title
      )}
    </div>
  );
};
