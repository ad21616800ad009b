/** Certificates for tests of pages. */
import type { InputOf } from '../../bridge/contract.ts';
import type { CertificateList, CertificateRow } from '../../bridge/model.ts';
import type { RootChangeView } from '../../bridge/root-change-model.ts';

const dayMs = 86_400_000;
const root = { isHere: true, fingerprint: 'cd'.repeat(32) };

/** Four rows, two of them near their end; `revoked` are the serial numbers that were revoked. */
const testCertificates = (now: number, revoked: ReadonlySet<string>): CertificateList => {
  const row = (part: Partial<CertificateRow> & Pick<CertificateRow, 'kind' | 'name' | 'endsAt'>): CertificateRow => ({
    hostId: null,
    serial: null,
    fingerprint: 'ef'.repeat(32),
    alert: 'none',
    note: 'Renewed by itself.',
    ...part,
    isRevoked: revoked.has(part.serial ?? ''),
  });
  return {
    at: now,
    root: { ...root, endsAt: now + 3_000 * dayMs },
    rows: [
      row({ kind: 'operator', name: 'ada (this device)', serial: 'ab01', endsAt: now + 5 * dayMs, alert: 'week' }),
      row({
        kind: 'agent',
        name: 'edge-ams-01',
        hostId: '01J00000000000000000000001',
        serial: 'ab02',
        endsAt: now + 25 * dayMs,
        alert: 'month',
      }),
      row({ kind: 'authority', name: 'agents', serial: 'ab03', endsAt: now + 700 * dayMs }),
      row({ kind: 'root', name: 'Test fleet root', serial: 'ab04', endsAt: now + 3_000 * dayMs }),
    ],
  };
};

/** A change of the root that waits for one host before its last step. */
const testRootChange = (now: number, phase: RootChangeView['phase']): RootChangeView => {
  const away = { hostId: '01J00000000000000000000001', name: 'edge-ams-01', isAway: true };
  return {
    phase,
    isUnderWay: phase === 're-issue',
    isConductedHere: phase === 're-issue',
    startedAt: now - dayMs,
    phaseAt: now - dayMs,
    from: 'cd'.repeat(32),
    to: 'de'.repeat(32),
    next: phase === 're-issue' ? 'dropped' : null,
    back: phase === 're-issue' ? 'dual-trust' : null,
    holds: phase === 're-issue' ? [{ ...away, kind: 'host', reason: 'It is away.' }] : [],
    backHolds: [],
    behind: phase === 're-issue' ? [away] : [],
  };
};

/** What a test bridge answers; it remembers what was revoked. */
export const certificateAnswers = ({ now, revoked }: { readonly now: () => number; readonly revoked: Set<string> }) => ({
  'certificate.list': () => testCertificates(now(), revoked),
  'certificate.renew': () => testCertificates(now(), revoked),
  'certificate.revoke': ({ serial }: InputOf<'certificate.revoke'>) => testCertificates(now(), revoked.add(serial)),
  'root-change.get': () => testRootChange(now(), 're-issue'),
  'root-change.start': () => testRootChange(now(), 're-issue'),
  'root-change.advance': () => testRootChange(now(), 'dropped'),
  'root-change.rollback': () => testRootChange(now(), 're-issue'),
});
