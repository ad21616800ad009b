/** A difference line by line; long stretches without change are folded. */
import { useState } from 'react';
import type { DiffLine } from '../../bridge/model.ts';

interface DiffViewProps {
  readonly lines: readonly DiffLine[];
}

/** Unchanged lines kept around a change. */
const around = 3;
/** Lines drawn; a policy of ten thousand mappings is not a thing to scroll through. */
const linesMax = 2_000;

export interface DiffPart {
  readonly isFolded: boolean;
  readonly first: number;
  readonly lines: readonly DiffLine[];
}

/** Cuts the lines into parts that are shown and parts that are folded. */
export const foldDiff = (lines: readonly DiffLine[]): readonly DiffPart[] => {
  const near = new Uint8Array(lines.length);
  for (const [index, line] of lines.entries()) {
    if (line.kind !== 'same') near.fill(1, Math.max(0, index - around), Math.min(lines.length, index + around + 1));
  }
  const parts: DiffPart[] = [];
  let first = 0;
  for (let index = 1; index <= lines.length; index += 1) {
    if (index < lines.length && near[index] === near[first]) continue;
    parts.push({ isFolded: near[first] === 0, first, lines: lines.slice(first, index) });
    first = index;
  }
  return parts;
};

const signs = { same: ' ', added: '+', removed: '-' } as const;

export const DiffView = ({ lines }: DiffViewProps) => {
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const parts = foldDiff(lines.slice(0, linesMax));
  return (
    <div className="diff" role="group" aria-label="Difference" data-testid="diff">
      {parts.map((part) =>
        part.isFolded && !opened.has(part.first) ? (
          <button key={part.first} type="button" className="diff-gap" onClick={() => setOpened(new Set([...opened, part.first]))}>
            {part.lines.length === 1 ? '1 unchanged line' : `${String(part.lines.length)} unchanged lines`}
          </button>
        ) : (
          part.lines.map((line, index) => (
            <div key={part.first + index} className={`diff-line ${line.kind}`}>
              <span>{signs[line.kind]}</span>
              <span>{line.text}</span>
            </div>
          ))
        ),
      )}
      {lines.length > linesMax ? <div className="diff-gap">{`${String(lines.length - linesMax)} more lines are not drawn`}</div> : null}
    </div>
  );
};
