/** Brings the lab up and enrols its hosts before the first test, takes it down after the last. */
import { Lab } from '../lab/lab.ts';
import { LabConsole } from '../support/lab-console.ts';

export const setup = async (): Promise<() => Promise<void>> => {
  const lab = await Lab.up({ mode: 'enforce', progress: (line) => console.log(`lab: ${line}`) });
  try {
    await LabConsole.enrol();
    console.log('lab: three hosts enrolled');
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
  return async () => {
    await lab[Symbol.asyncDispose]();
  };
};
