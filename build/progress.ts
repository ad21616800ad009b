/** Steps as lines: what is being done, then how it went and how long it took. */

const nameWidth = 22;

/** A step that answers false had nothing to do. A failure is rethrown after its line. */
export const step = async (name: string, work: () => boolean | Promise<boolean>): Promise<void> => {
  const started = performance.now();
  const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  try {
    const isDone = await work();
    console.log(`  ${name.padEnd(nameWidth)} ${isDone ? `done in ${seconds()}` : 'up to date'}`);
  } catch (error) {
    console.error(`  ${name.padEnd(nameWidth)} FAILED after ${seconds()}`);
    throw error;
  }
};

/** A step that cannot be done here, and why. */
export const skipped = (name: string, reason: string): void => console.log(`  ${name.padEnd(nameWidth)} SKIP: ${reason}`);
