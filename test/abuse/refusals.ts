/** What a refusal must look like from outside, and what the host's own audit log says of it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { framesOf, framesStart, listSegments } from '../../agent/control/audit/segment.ts';
import { decodeAuditEntry } from '../../proto/model/audit.ts';
import type { AuditEntry } from '../../proto/model/audit.ts';

const triesMax = 200;

/** What a defect would show: paths, stack lines, modules. */
export const inside = /node_modules|\.ts\b|\.js\b|\bat \S+ \(|node:internal|\/root\/|\/tmp\/|\/dev\/shm|Error:/;

/** Every whole entry on the disk of an agent, oldest first; read beside the agent, which may be another process. */
export const auditOnDisk = async (stateDir: string): Promise<readonly AuditEntry[]> => {
  const segments = await listSegments(join(stateDir, 'audit'));
  const contents = await Promise.all(segments.map(({ path }) => readFile(path)));
  return contents.flatMap((content) => [...framesOf(content, framesStart(content) ?? 0)].map((frame) => decodeAuditEntry(frame)));
};

/** The entries for which it says yes, once there is one. Throws when none comes, with what was there. */
export const auditedOnDisk = async (stateDir: string, isWanted: (entry: AuditEntry) => boolean): Promise<readonly AuditEntry[]> => {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const found = (await auditOnDisk(stateDir)).filter(isWanted);
    if (found.length > 0) return found;
    await sleep(20);
  }
  const last = (await auditOnDisk(stateDir)).slice(-8).map(({ action, result, actor }) => `${action} ${result} ${actor}`);
  throw new Error(`no such entry in the audit log; the last are:\n${last.join('\n')}`);
};
