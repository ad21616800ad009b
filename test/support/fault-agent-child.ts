/** A fault agent as a process of its own: it dies at the step it is told, as a power cut would, and lives no longer than who started it. */
import { flushCompileCache } from 'node:module';
import { decodeAuditEntry } from '../../proto/model/audit.ts';
import { enforcedBy, startFaultAgent } from './fault-agent.ts';
import type { FaultStep } from './fault-agent.ts';
import type { ChildState, Order, Report } from './child-agent.ts';

const [, , stateDir = '', port = '', kernelFile = ''] = process.argv;
const armed: { step: FaultStep | null; left: number } = { step: null, left: 0 };
const onStep = (step: FaultStep): void => {
  if (step !== armed.step) return;
  armed.left -= 1;
  if (armed.left <= 0) process.kill(process.pid, 'SIGKILL');
};
const agent = await startFaultAgent({ stateDir, kernelFile, port: Number(port), onStep });

const stateOf = async (): Promise<ChildState> => {
  const entries = [];
  for await (const piece of agent.audit.entries(0, 1_000_000)) entries.push(...piece.map(decodeAuditEntry));
  const { revision, state, policyJson } = agent.revisions.current();
  return {
    current: { revision, state, policyJson },
    isPending: agent.revisions.pending() !== null,
    kernel: enforcedBy(kernelFile),
    states: agent.revisions.list().map((one) => one.state),
    auditProblem: (await agent.audit.verify()).problem?.message ?? null,
    entries: entries.map(({ number, action, result, opening, target, actor }) => ({ number, action, result, opening, target, actor })),
  };
};

const obey = async (order: Order): Promise<Report> => {
  if (order.kind === 'ask') return { kind: 'state', state: await stateOf() };
  if (order.kind === 'arm') {
    [armed.step, armed.left] = [order.step, order.count];
    return { kind: 'armed' };
  }
  await agent.join(order.token);
  return { kind: 'joined' };
};

process.on('message', (order: Order) => {
  obey(order).then(
    (report) => process.send?.(report),
    (error: unknown) => process.send?.({ kind: 'failed', message: String(error) }),
  );
});
process.on('disconnect', () => {
  const end = (): never => process.exit(0);
  agent[Symbol.asyncDispose]().then(end, end);
});
// Who dies at once writes no cache at its end.
flushCompileCache();
process.send?.({ kind: 'ready' });
