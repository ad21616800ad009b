import { NestError } from '../../proto/model/error.ts';
import type { AgentConfig } from '../config/schema.ts';
import { askAgent } from './local-client.ts';
import { socketPath, statusAnswer } from './local-protocol.ts';
import type { StatusAnswer } from './local-protocol.ts';
import { inGroups, spellDuration } from './terminal.ts';
import type { Terminal } from './terminal.ts';

const answerMs = 5000;

/** Prints what the running agent says about itself, as text or as one line of JSON. Throws HOST_UNREACHABLE when none runs. */
export const runStatus = async (config: AgentConfig, json: boolean, { stdout }: Terminal): Promise<void> => {
  const status = await askAgent(
    { path: socketPath(config.stateDir), request: { command: 'status' }, answer: statusAnswer },
    AbortSignal.timeout(answerMs),
  );
  if (status === null)
    throw new NestError('HOST_UNREACHABLE', `No agent runs with the state directory ${config.stateDir}. Start it with "nest-agent run".`);
  stdout.write(json ? `${JSON.stringify(status)}\n` : `${describe(status).join('\n')}\n`);
};

const describe = (status: StatusAnswer): string[] => {
  const row = (label: string, text: string): string => `${label.padEnd(12)}${text}`;
  return [
    row('host', `${status.name}, agent ${status.version}`),
    row(
      'identity',
      status.agentId === null
        ? 'not enrolled; make a join token in the console and run "nest-agent join <token>"'
        : `${status.agentId} in fleet ${status.fleetId}`,
    ),
    row('fingerprint', inGroups(status.fingerprint)),
    ...(status.enrollment === null
      ? []
      : [
          row(
            'enrolment',
            `open for ${spellDuration(status.enrollment.expiresAtMs - Date.now())}, ${status.enrollment.attemptsLeft} attempts left`,
          ),
        ]),
    row('grpc', status.grpc.port === null ? 'closed' : `port ${status.grpc.port}, ${status.grpc.mode}`),
    row(
      'traffic',
      status.traffic.mode === 'enforce'
        ? `enforcing${status.traffic.adopted ? ', taken over from the last run' : ''}`
        : `observing only: ${status.traffic.observeReason}`,
    ),
    row(
      'revision',
      status.pending === null
        ? String(status.revision)
        : `${status.revision}, taken back in ${spellDuration(status.pending.remainingMs)} unless confirmed`,
    ),
    ...status.interfaces.map(({ name, mode, problem }) => row('interface', `${name}: ${mode ?? `not attached, ${problem}`}`)),
    ...status.warnings.map(({ severity, title, message }) => row(severity, `${title}. ${message}`)),
  ];
};
