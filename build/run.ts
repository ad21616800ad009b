/** Runs a tool with the repository as its folder; its output is the user's to see. */
import { spawnSync } from 'node:child_process';
import { root } from './stamp.ts';

/** Ends this process with the tool's exit code when it is not 0. */
export const run = (command: string, args: readonly string[]): void => {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (error !== undefined) {
    console.error(`${command} could not be started: ${error.message}. Run npm ci first.`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? 1);
};
