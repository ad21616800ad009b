/** The console under test: the product's own roster and links on a simulated fleet, in a process that does nothing else. */
import { accessMeasurements } from './access-measurements.ts';
import { consoleMeasurements } from './console-measurements.ts';
import { plainMeasurements } from './plain-measurements.ts';
import { serveCalls } from './process-calls.ts';
import { rawMeasurements } from './raw-measurements.ts';
import type { OrderHandlers } from './console-orders.ts';
import { createStage } from './stage.ts';

const stage = createStage();
const handlers: OrderHandlers = {
  open: (request) => stage.open(request),
  ...consoleMeasurements(stage),
  ...accessMeasurements(stage),
  ...rawMeasurements(stage),
  ...plainMeasurements(),
};
serveCalls(handlers);
