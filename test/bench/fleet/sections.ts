/** Sections of suite "fleet", in the order in which they run. */
import { unarySection } from './section-calls.ts';
import { connectSection, stormSection } from './section-connect.ts';
import { delaySection } from './section-delay.ts';
import { fanoutSection } from './section-fanout.ts';
import { flowsSection } from './section-flows.ts';
import { revokeSection } from './section-revoke.ts';
import type { FleetSection } from './section.ts';
import { snapshotSection } from './section-snapshot.ts';
import { crowdSection, steadySection } from './section-steady.ts';

export const fleetSections: readonly FleetSection[] = [
  connectSection,
  stormSection,
  steadySection,
  fanoutSection,
  revokeSection,
  unarySection,
  flowsSection,
  delaySection,
  crowdSection,
  snapshotSection,
];
