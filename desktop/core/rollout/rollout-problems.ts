/** What a rollout says about a host, when the host itself does not. */

export const awayProblem = {
  code: 'HOST_UNREACHABLE',
  message: 'The host was away when the rollout began. Bring it back, then roll out to it.',
};
export const silentProblem = {
  code: 'HOST_UNREACHABLE',
  message: 'The host does not answer. It takes a change that waits back by itself; its state is read when it answers.',
};
export const goneProblem = {
  code: 'HOST_UNREACHABLE',
  message: 'The host answered when the rollout began, and not when its turn came. Nothing was changed on it.',
};
export const lapsedProblem = { code: 'TIMED_OUT', message: 'The host took the change back by itself.' };
export const endedProblem = {
  code: 'HOST_UNREACHABLE',
  message: 'The host was silent while the rollout ended: its change, which still waited when it was back, was taken back.',
};
export const staysProblem = {
  code: 'HOST_UNREACHABLE',
  message: 'The host does not answer and keeps the policy. It returns to its earlier revision when it is back.',
};
export const lostRecordProblem = {
  code: 'REVISION_CONFLICT',
  message: 'The host has lost its record of the rollout: look at its revisions.',
};
