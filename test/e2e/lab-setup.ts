import { Lab } from '../lab/lab.ts';

/** Brings the lab up for the whole run; Playwright calls what it returns at the end, also after failures. */
const setUp = async (): Promise<() => Promise<void>> => {
  const lab = await Lab.up({ traffic: true, progress: (line) => console.log(`lab: ${line}`) });
  return async () => {
    await lab[Symbol.asyncDispose]();
  };
};

export default setUp;
