import type { NestErrorCode } from '../../proto/model/error.ts';

/** What the process tells its caller; `--help` lists them. */
export const exitCodes = {
  ok: 0,
  /** Something failed that another try may cure: a port in use, a full disk. */
  failed: 1,
  /** The command line or the configuration must be corrected first. */
  usage: 2,
  /** No agent runs with this configuration. */
  notRunning: 3,
  /** The agent or the token refused. */
  refused: 4,
  /** --healthcheck: the agent runs and is not healthy. */
  unhealthy: 5,
} as const;

const refusals: ReadonlySet<NestErrorCode> = new Set<NestErrorCode>([
  'TOKEN_INVALID',
  'TOKEN_EXPIRED',
  'TOKEN_USED',
  'ENROLLMENT_CLOSED',
  'ALREADY_ENROLLED',
  'NOT_ENROLLED',
]);

/** The exit code of an expected failure. */
export const exitCodeOf = (code: NestErrorCode): number => {
  if (code === 'CONFIG_INVALID' || code === 'INPUT_INVALID') return exitCodes.usage;
  if (code === 'HOST_UNREACHABLE') return exitCodes.notRunning;
  return refusals.has(code) ? exitCodes.refused : exitCodes.failed;
};

/** Text for the end of --help. */
export const exitCodeHelp = `Exit codes:
  0  done
  1  failed; the message says what to do
  2  the command line or the configuration must be corrected
  3  no agent runs with this configuration
  4  refused: the token, or the host's enrolment, does not allow it
  5  --healthcheck: the agent runs and is not healthy`;
