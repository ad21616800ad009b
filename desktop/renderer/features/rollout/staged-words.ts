/** Words and looks of staged rollouts. */
import type { RolloutGate, StagedHost, StagedRollout } from '../../../bridge/rollout-model.ts';

export interface Look {
  readonly tone: string;
  readonly shape: string;
  readonly word: string;
}

export const hostLooks: Readonly<Record<StagedHost['state'], Look>> = {
  waiting: { tone: 'off', shape: 'dot ring', word: 'Waiting' },
  applying: { tone: 'sky', shape: 'dot', word: 'Applying' },
  soaking: { tone: 'warn', shape: 'dot triangle', word: 'Watched' },
  keeping: { tone: 'sky', shape: 'dot', word: 'Keeping' },
  kept: { tone: 'ok', shape: 'dot', word: 'Kept' },
  undoing: { tone: 'warn', shape: 'dot', word: 'Taking back' },
  'taken-back': { tone: 'warn', shape: 'dot square', word: 'Taken back' },
  reverting: { tone: 'warn', shape: 'dot', word: 'Going back' },
  reverted: { tone: 'warn', shape: 'dot square', word: 'Back as before' },
  failed: { tone: 'crit', shape: 'dot square', word: 'Failed' },
  unreachable: { tone: 'crit', shape: 'dot ring', word: 'Does not answer' },
  deferred: { tone: 'off', shape: 'dot triangle', word: 'Intent waits' },
  skipped: { tone: 'off', shape: 'dot ring', word: 'Skipped' },
};

export const phaseLooks: Readonly<Record<StagedRollout['phase'], Look>> = {
  running: { tone: 'sky', shape: 'dot', word: 'Running' },
  paused: { tone: 'warn', shape: 'dot ring', word: 'Paused' },
  stopping: { tone: 'crit', shape: 'dot triangle', word: 'Stopping' },
  aborting: { tone: 'warn', shape: 'dot triangle', word: 'Aborting' },
  finished: { tone: 'ok', shape: 'dot', word: 'Finished' },
  stopped: { tone: 'crit', shape: 'dot square', word: 'Stopped' },
  aborted: { tone: 'warn', shape: 'dot square', word: 'Aborted' },
  yielded: { tone: 'off', shape: 'dot ring', word: 'Taken over elsewhere' },
};

/** Nobody conducts what has ended. */
export const isRolloutOver = ({ phase }: Pick<StagedRollout, 'phase'>): boolean =>
  phase === 'finished' || phase === 'stopped' || phase === 'aborted';

export const conductedWords: Readonly<Record<StagedRollout['conducted'], string>> = {
  here: 'conducted by this console',
  beside: 'conducted by another process of this console',
  idle: 'conducted by nobody: resume it',
  elsewhere: 'found on the hosts, begun by another console',
};

export const gateWords: Readonly<Record<RolloutGate['gate'], string>> = {
  'drop-rate': 'Drops',
  'flow-failures': 'Flow failures',
  health: 'Health',
  drift: 'Drift',
};

/** "12.5 of at most 30 pps", or the word of a gate without figures. */
export const gateText = ({ gate, subject, figure, threshold, verdict }: RolloutGate): string => {
  const named = subject === '' ? gateWords[gate] : `${gateWords[gate]} ${subject}`;
  if (figure === null) return `${named}: not measured yet`;
  if (gate === 'health' || gate === 'drift') return `${named}: ${verdict === 'passed' ? 'good' : 'bad'}`;
  return `${named}: ${rate(figure)} of at most ${rate(threshold ?? 0)} pps`;
};

const rate = (value: number): string => String(Math.round(value * 10) / 10);
