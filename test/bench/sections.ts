/** Sections of suite "packet", in the order in which they run. */
import type { Section } from './section.ts';
import { changeSection } from './section-change.ts';
import { connectSection } from './section-connect.ts';
import { costSection } from './section-cost.ts';
import { enginesSection } from './section-engines.ts';
import { eventsSection } from './section-events.ts';
import { floodSection } from './section-flood.ts';
import { forwardSection } from './section-forward.ts';
import { memorySection } from './section-memory.ts';
import { nftablesSection } from './section-nftables.ts';

/** What one section measured goes to its own `rows` alone. */
const erased = <Measured>({ name, measure, rows }: Section<Measured>): Section<unknown> => ({
  name,
  measure,
  rows: (measured) => rows(measured as Measured),
});

export const sections: readonly Section<unknown>[] = [
  erased(costSection),
  erased(floodSection),
  erased(forwardSection),
  erased(nftablesSection),
  erased(changeSection),
  erased(eventsSection),
  erased(memorySection),
  erased(connectSection),
  erased(enginesSection),
];
