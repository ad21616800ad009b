/** What the kernel has now against what this agent put there, and the way back. */
import type { DriftFound } from '../../control/drift/api.ts';
import type { Engine } from '../../engine/api.ts';
import type { TrafficStatus } from './api.ts';
import type { Attachments } from './attachments.ts';
import type { LocalTraffic } from './local-traffic.ts';

const interfacePrefix = 'interface ';
const hooks = 'hooks for local traffic';
const tables = 'tables';

/** Everything that is not as it should be. Raises ENGINE_FAILED. */
export const findDrift = async (
  engine: Engine,
  { generation, desiredGeneration }: Pick<TrafficStatus, 'generation' | 'desiredGeneration'>,
): Promise<readonly DriftFound[]> => {
  const { interfaces, hooksMissing, tablesChanged } = await engine.inspect();
  const found: DriftFound[] = [];
  for (const { name, programId, isOurs, isCounted } of interfaces) {
    const resource = `${interfacePrefix}${name}`;
    if (programId === 0)
      found.push({ resource, message: 'The packet program was taken off it: its packets are not judged.', canHeal: true });
    else if (!isOurs)
      found.push({
        resource,
        message: `Another packet program runs there (id ${String(programId)}): its packets are not judged. Remove it ("bpftool prog show id ${String(programId)}" names it).`,
        canHeal: false,
      });
    else if (!isCounted) found.push({ resource, message: 'Its counters were taken away.', canHeal: true });
  }
  if (hooksMissing.length > 0) found.push({ resource: hooks, message: `Taken off: ${hooksMissing.join(', ')}.`, canHeal: true });
  const isOther = desiredGeneration !== '' && generation !== desiredGeneration;
  if (isOther) found.push({ resource: tables, message: 'Another policy is loaded than the one that should be.', canHeal: true });
  else if (tablesChanged.length > 0)
    found.push({ resource: tables, message: `Somebody has changed what they hold: ${tablesChanged.join(', ')}.`, canHeal: true });
  return found;
};

export interface HealContext {
  readonly engine: Engine;
  readonly attachments: Attachments;
  readonly local: LocalTraffic;
  /** Loads the policy in force once more. */
  readonly reload: () => Promise<void>;
}

/** Puts resources right that `findDrift` named; others are left alone. Raises ENGINE_FAILED, INTERFACE_FOREIGN_PROGRAM. */
export const healDrift = async (resources: readonly string[], { engine, attachments, local, reload }: HealContext): Promise<void> => {
  for (const resource of resources) if (resource.startsWith(interfacePrefix)) await engine.detach(resource.slice(interfacePrefix.length));
  await attachments.refresh();
  if (resources.includes(hooks)) {
    await engine.detachLocal();
    await local.refresh(engine);
  }
  if (resources.includes(tables)) await reload();
};
