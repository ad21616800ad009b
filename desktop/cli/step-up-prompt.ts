/** When a call needs a second factor, the person is asked for a code once, and the call is made again once. */
import { toErrorShape } from '../../proto/model/error.ts';
import { contract } from '../bridge/contract.ts';
import type { BridgeHandlers, MethodName } from '../bridge/contract.ts';
import { mfaAct } from '../bridge/mfa-model.ts';
import { readSecret } from './secret.ts';
import type { Terminal } from './terminal.ts';

export interface StepUpPrompt {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** File with a code; without it a person is asked. */
  readonly path: string | undefined;
}

type Call = (input: unknown, signal: AbortSignal) => Promise<unknown>;

/** The same handlers; those that answer once ask for a code when it is needed and can be had. */
export const withStepUp = (handlers: BridgeHandlers, prompt: StepUpPrompt): BridgeHandlers => {
  const asking = (handle: Call): Call => {
    return async (input, signal) => {
      try {
        return await handle(input, signal);
      } catch (error) {
        const { code, details } = toErrorShape(error);
        const canAsk = prompt.terminal.isInteractive || (prompt.path ?? '') !== '';
        if (code !== 'MFA_REQUIRED' || details['factor'] === 'none' || !canAsk) throw error;
        const { actionHash, hostSetHash } = details;
        const act = mfaAct.safeParse({ actionHash, hostSetHash });
        await handlers['mfa.stepUp']({ code: await readCode(prompt), ...(act.success ? { act: act.data } : {}) }, signal);
        return handle(input, signal);
      }
    };
  };
  const wrapped = Object.entries(handlers).map(([name, handle]): readonly [string, unknown] =>
    contract[name as MethodName].kind === 'stream' ? [name, handle] : [name, asking(handle as Call)],
  );
  return Object.fromEntries(wrapped) as unknown as BridgeHandlers;
};

/** From --code-file, NEST_CODE_FILE or the terminal. */
export const readCode = async (prompt: StepUpPrompt, question = 'Code of your authenticator: '): Promise<string> => {
  const code = await readSecret(prompt, {
    path: prompt.path,
    missing: 'This needs a code of your authenticator: give --code-file, or run it in a terminal.',
    question,
    noun: 'code',
  });
  return code.trim();
};
