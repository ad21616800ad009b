/** Who works under a break-glass grant on this host: taken after all checks, told everywhere, ended in time whatever the clock does. */
import { checkGrant } from '../../../proto/model/break-glass.ts';
import { emptyFact } from '../../../proto/model/audit.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { AccessBody } from '../../../proto/model/access/body.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { AccessCaller } from '../access/api.ts';
import type { AuditControl } from '../audit/api.ts';
import type { BreakGlassUse, SessionControl } from './api.ts';
import { createGrantFile, grantsMax } from './grant-file.ts';

export interface BreakGlassOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly body: () => AccessBody | null;
  readonly isLocked: (caller: AccessCaller) => boolean;
  readonly fleet: () => { readonly fleetId: string; readonly agentId: string } | null;
  readonly audit: Pick<AuditControl, 'note'>;
  readonly raise: (
    code: string,
    warning: { readonly title: string; readonly message: string; readonly severity: 'warning' | 'critical' } | null,
  ) => void;
  /** Called when a grant begins or ends. */
  readonly onChanged: () => void;
}

export interface BreakGlass extends Pick<SessionControl, 'useGrant' | 'grantOf' | 'grants' | 'close'> {
  /** The access bundle has changed: a lock ends the grants of who is locked. */
  recheck(): void;
}

interface Live extends BreakGlassUse {
  /** By the monotonic clock: setting the clock of the host lengthens nothing. */
  readonly endsAtMonotonicMs: number;
}

/** Goes on with what was granted before a restart. */
export const createBreakGlass = async (options: BreakGlassOptions): Promise<BreakGlass> => {
  const { clock } = options;
  const file = createGrantFile(options.stateDir);
  const liveOf = (use: BreakGlassUse): Live => ({ ...use, endsAtMonotonicMs: clock.monotonicMs() + (use.untilMs - clock.nowMs()) });
  let live: readonly Live[] = (await file.load()).map(liveOf);
  let timer: Timer | null = null;
  let saving: Promise<void> = Promise.resolve();
  const isOver = ({ untilMs, endsAtMonotonicMs, operator, device }: Live): boolean =>
    clock.nowMs() >= untilMs ||
    clock.monotonicMs() >= endsAtMonotonicMs ||
    options.isLocked({ subject: operator, kind: 'operator', device });
  const tell = (): void => {
    timer?.cancel();
    for (const use of live.filter(isOver)) options.audit.note({ ...factOf(use), action: 'break-glass.ended' });
    live = live.filter((use) => !isOver(use));
    options.raise('BREAK_GLASS', warningOf(live));
    options.onChanged();
    const firstMs = Math.min(...live.map(({ endsAtMonotonicMs }) => endsAtMonotonicMs - clock.monotonicMs()));
    timer = live.length === 0 ? null : clock.after(Math.max(1, Math.min(firstMs, tellEveryMs)), tell);
  };
  tell();
  const take = async (caller: AccessCaller, envelope: Parameters<SessionControl['useGrant']>[1]): Promise<BreakGlassUse> => {
    const [fleet, body] = [options.fleet(), options.body()];
    if (fleet === null || body === null)
      throw new NestError('NOT_ENROLLED', 'This host has no access bundle, so it knows no owners. Let a console deliver it first.');
    const subject = shortOf(caller.subject);
    const grant = checkGrant(envelope, body, { ...fleet, nowMs: clock.nowMs(), subject, device: caller.device });
    const before = live.find(({ grantId }) => grantId === grant.grantId);
    if (before !== undefined && before.device !== caller.device)
      throw new NestError(
        'REVOKED',
        'Another device has used this grant already: a grant is for one. If that was not you, lock that device.',
      );
    if (before !== undefined) return before;
    if (live.length >= grantsMax)
      throw new NestError('LIMIT_REACHED', `${String(grantsMax)} grants are in use on this host. Wait until one ends.`);
    const use = useOf(caller, grant, clock.nowMs());
    const next = [...live, liveOf(use)];
    await file.save(next.map(({ endsAtMonotonicMs: _end, ...kept }) => kept));
    live = next;
    options.audit.note({ ...factOf(use), action: 'break-glass.used', detail: use.reason });
    tell();
    return use;
  };
  return {
    useGrant: (caller, envelope) => {
      // One after the other: each stores what those before have left.
      const work = saving.then(() => take(caller, envelope));
      saving = work.then(
        () => undefined,
        () => undefined,
      );
      return work;
    },
    grantOf: (caller) => {
      if (live.length === 0 || options.isLocked(caller)) return null;
      return live.find((use) => use.operator === caller.subject && use.device === caller.device && !isOver(use)) ?? null;
    },
    grants: () => live.filter((use) => !isOver(use)),
    recheck: () => {
      if (live.some(isOver)) tell();
    },
    close: () => timer?.cancel(),
  };
};

/** The clock of the host may be set: ends are looked at so often at least, milliseconds. */
const tellEveryMs = 60_000;

const useOf = (
  caller: AccessCaller,
  { grantId, reason, notBeforeMs, expiresAtMs }: ReturnType<typeof checkGrant>,
  nowMs: number,
): BreakGlassUse => ({
  grantId,
  operator: caller.subject,
  device: caller.device,
  reason,
  sinceMs: nowMs,
  untilMs: Math.min(expiresAtMs, nowMs + (expiresAtMs - notBeforeMs)),
});

const shortOf = (subject: string): string => /^spiffe:\/\/[^/]+\/(.+)$/.exec(subject)?.[1] ?? '';

const factOf = ({ operator, device, grantId }: BreakGlassUse): typeof emptyFact => ({
  ...emptyFact,
  actor: operator,
  device,
  target: `grantId=${grantId}`,
});

const warningOf = (live: readonly BreakGlassUse[]): Parameters<BreakGlassOptions['raise']>[1] => {
  const [use] = live;
  if (use === undefined) return null;
  return {
    title: 'Break-glass is in use',
    message: `${shortOf(use.operator)} may do everything on this host until ${new Date(use.untilMs).toISOString().slice(0, 16)}Z: ${use.reason}`,
    severity: 'critical',
  };
};
