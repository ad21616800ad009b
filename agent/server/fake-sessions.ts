/** Second factors of an agent whose operators have none, for tests of the network side that are about something else. */
import { NestError } from '../../proto/model/error.ts';
import type { SessionControl } from '../control/session/api.ts';

const none = (): never => {
  throw new NestError('MFA_REQUIRED', 'This host knows no second factors.');
};

/** Nobody has a factor, nobody works under a grant. */
export const createFakeSessions = (): SessionControl => ({
  enroll: none,
  stepUp: none,
  authenticate: none,
  session: none,
  needsStepUp: () => false,
  isDangerous: () => false,
  checkAct: () => undefined,
  useGrant: async () => none(),
  grantOf: () => null,
  grants: () => [],
  onChanged: () => () => undefined,
  close: () => undefined,
});
