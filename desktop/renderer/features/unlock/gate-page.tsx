/** The page before the console: makes the fleet the first time, opens it later. Never filled in beforehand. */
import type { ConsoleState } from '../../../bridge/model.ts';
import type { Failure } from '../../client/failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Logo } from '../../widgets/logo.tsx';
import { CreateFleetForm } from './create-fleet-form.tsx';
import { UnlockForm } from './unlock-form.tsx';

interface GatePageProps {
  readonly state: ConsoleState | null;
  readonly failure: Failure | null;
}

const logoPixels = 300;

export const GatePage = ({ state, failure }: GatePageProps) => (
  <main className="gate">
    <div className="gate-brand">
      <Logo size={logoPixels} />
      <div className="name">Nest</div>
      <div className="dim">See the effect first. Change. Take it back.</div>
      {state === null ? null : <div className="mono off">{state.version}</div>}
    </div>
    <section className="card" aria-label={state?.phase === 'empty' ? 'Create a fleet' : 'Unlock'}>
      {failure === null ? null : <FailureView failure={failure} />}
      {state === null ? null : state.phase === 'empty' ? <CreateFleetForm state={state} /> : <UnlockForm state={state} />}
    </section>
  </main>
);
