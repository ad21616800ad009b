import { NestError } from '../../proto/model/error.ts';
import type { AgentConfig } from '../config/schema.ts';
import { leaveFleet } from '../system.ts';
import { askAgent } from './local-client.ts';
import { leaveAnswer, socketPath } from './local-protocol.ts';
import type { Terminal } from './terminal.ts';

const answerMs = 10_000;

/**
 * Takes this host out of its fleet: certificate, trusted roots and key are forgotten. The policy in force stays. Works without a
 * running agent, too. Throws INPUT_INVALID unless told yes, NOT_ENROLLED.
 */
export const runLeave = async (config: AgentConfig, isSure: boolean, { stdout }: Terminal): Promise<void> => {
  if (!isSure)
    throw new NestError(
      'INPUT_INVALID',
      'No console can reach this host after it has left its fleet; its policy stays in force. Say --yes to leave.',
    );
  const running = await askAgent(
    { path: socketPath(config.stateDir), request: { command: 'leave' }, answer: leaveAnswer },
    AbortSignal.timeout(answerMs),
  );
  const { fleetId } = running ?? (await leaveFleet(config));
  stdout.write(
    `This host has left the fleet ${fleetId}. Its policy stays in force. To join again: make a token in the console, then nest-agent join <token>.\n`,
  );
};
