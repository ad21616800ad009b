import type { AgentConfig } from '../config/schema.ts';
import { storeToken } from '../system.ts';
import { askAgent } from './local-client.ts';
import { joinAnswer, socketPath } from './local-protocol.ts';
import { inGroups, spellDuration } from './terminal.ts';
import type { Terminal } from './terminal.ts';

const answerMs = 10_000;

/**
 * Opens the enrolment on this host with the token from the console and prints the key's fingerprint to compare.
 * Without a running agent the token is kept for the next start. Throws TOKEN_*, ENROLLMENT_CLOSED, ALREADY_ENROLLED.
 */
export const runJoin = async (config: AgentConfig, token: string, { stdout }: Terminal): Promise<void> => {
  const running = await askAgent(
    { path: socketPath(config.stateDir), request: { command: 'join', token }, answer: joinAnswer },
    AbortSignal.timeout(answerMs),
  );
  const { fingerprint, expiresAtMs } = running ?? (await storeToken(config, token));
  stdout.write(`fingerprint: ${inGroups(fingerprint)}\n`);
  stdout.write(
    running === null
      ? `No agent runs here. The token is kept: start the agent within ${spellDuration(expiresAtMs - Date.now())} with "nest-agent run", then compare the fingerprint in the console.\n`
      : `Enrolment is open for ${spellDuration(expiresAtMs - Date.now())}${running.port === null ? '' : ` on port ${running.port}`}. Compare the fingerprint in the console and approve this host there.\n`,
  );
};
