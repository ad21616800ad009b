/** A log in a folder of its own, for tests. */
import { generateKeyPairSync } from 'node:crypto';
import { emptyFact } from '../../../proto/model/audit.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { AuditControl, AuditFact } from './api.ts';
import { createAuditControl } from './audit-control.ts';
import type { AuditOptions } from './audit-control.ts';
import { createHeadSigner } from './head-signer.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const identity = {
  agentId: '01JZ0000000000000000000001',
  fleetId: '01jz000000000000000000000a',
  privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  certificateChain: '',
};

/** Warnings by code, as they stand. */
export type Warnings = Map<string, string>;

export const openTestLog = (
  stateDir: string,
  options: Partial<AuditOptions> & { readonly warnings?: Warnings } = {},
): Promise<AuditControl> => {
  const { warnings, ...more } = options;
  return createAuditControl({
    stateDir,
    clock: systemClock,
    log: silentLogger,
    sign: createHeadSigner(() => identity),
    raise: (code, warning) => void (warning === null ? warnings?.delete(code) : warnings?.set(code, warning.message)),
    ...more,
  });
};

export const testFact = (index: number, more: Partial<AuditFact> = {}): AuditFact => ({
  ...emptyFact,
  actor: 'spiffe://01jz000000000000000000000a/operator/ada',
  device: 'ab'.repeat(32),
  source: '198.18.0.7',
  action: '/nest.v1.TrafficService/UpdateDenyList',
  target: `name=feed-${String(index)}`,
  requestHash: Buffer.alloc(32, index),
  revisionBefore: index,
  revisionAfter: index,
  ...more,
});

/** Every entry of the log, as bytes. */
export const allEntries = async (log: AuditControl): Promise<Buffer[]> => {
  const found: Buffer[] = [];
  for await (const piece of log.entries(0, 1_000_000)) found.push(...piece);
  return found;
};
