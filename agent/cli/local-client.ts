import { connect } from 'node:net';
import type { z } from 'zod';
import { NestError } from '../../proto/model/error.ts';
import { lineBytesMax, localReply } from './local-protocol.ts';
import type { LocalRequest } from './local-protocol.ts';

export interface LocalCall<Answer extends z.ZodType> {
  readonly path: string;
  readonly request: LocalRequest;
  readonly answer: Answer;
}

/**
 * Asks the running agent of this host. Returns null when none runs. Throws what the agent refused with, or STATE_FAILED
 * when its socket may not be used.
 */
export const askAgent = async <Answer extends z.ZodType>(
  { path, request, answer }: LocalCall<Answer>,
  signal: AbortSignal,
): Promise<z.output<Answer> | null> => {
  const line = await exchange(path, `${JSON.stringify(request)}\n`, signal);
  if (line === null) return null;
  const reply = localReply.safeParse(parseJson(line));
  if (!reply.success) throw notUnderstood(reply.error);
  if (!reply.data.ok) throw new NestError(reply.data.code, reply.data.message);
  const parsed = answer.safeParse(reply.data.answer);
  if (!parsed.success) throw notUnderstood(parsed.error);
  return parsed.data;
};

/** Sends one line and returns the answer; null when nobody listens. */
const exchange = (path: string, line: string, signal: AbortSignal): Promise<string | null> =>
  new Promise((resolve, reject) => {
    const socket = connect({ path, signal });
    let received = '';
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(line));
    socket.on('data', (text: string) => {
      received += text;
      if (received.length > lineBytesMax) socket.destroy(notUnderstood());
    });
    socket.once('end', () => resolve(received));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null);
      else if (error.code === 'EACCES' || error.code === 'EPERM')
        reject(new NestError('STATE_FAILED', "You may not use the agent's socket. Run the command as root.", { cause: error }));
      else if (signal.aborted) reject(new NestError('TIMED_OUT', 'The agent did not answer in time. Look into its log.', { cause: error }));
      else reject(error);
    });
  });

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notUnderstood(error);
  }
};

const notUnderstood = (cause?: unknown): NestError =>
  new NestError(
    'INTERNAL',
    'The answer of the running agent is not understood. Use the nest-agent of the same version, or restart the agent.',
    { cause },
  );
