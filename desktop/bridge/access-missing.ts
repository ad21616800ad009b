/** What is true on a console without an access bundle: whether the fleet has none depends on what its hosts said. */
import type { AccessHostState } from './access-model.ts';

/** Sentences with the next step. To begin a bundle is advised only when every host has said that it holds none. */
export const missingBundleText = (hosts: readonly Pick<AccessHostState, 'state' | 'problem'>[]): string => {
  const unheard = hosts.filter(({ state }) => !saysNone.has(state));
  if (unheard.length === 0)
    return 'This fleet has no access bundle yet: every operator may do everything. An owner with the fleet root makes one with "nest access begin".';
  const { problem = null } = unheard.find((host) => host.problem !== null) ?? {};
  return [
    `This console has no access bundle yet, and ${String(unheard.length)} of ${String(hosts.length)} hosts did not say whether they hold it.`,
    ...(problem === null ? [] : [problem]),
    'Once they answer, "nest access push" takes it from them; do not begin another.',
  ].join(' ');
};

/** Answers of a host without a bundle. */
const saysNone: ReadonlySet<AccessHostState['state']> = new Set(['none', 'unsupported']);
