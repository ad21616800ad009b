/** A kernel in a file for the crash test: replaced as a whole, so it is always one policy or the other. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Activation } from './api.ts';

export const kernelPolicy = (directory: string): string => readFileSync(join(directory, 'kernel'), 'utf8');

export const fileActivation = (directory: string): Activation => ({
  activate: async (policyJson) => {
    writeFileSync(join(directory, 'kernel.next'), policyJson);
    renameSync(join(directory, 'kernel.next'), join(directory, 'kernel'));
    return { generation: policyJson, loadMs: 0, flipMs: 0 };
  },
});
