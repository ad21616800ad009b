/** Snapshots as text. */
import type {
  SnapshotComparison,
  SnapshotFile,
  SnapshotHostDetail,
  SnapshotHosts,
  SnapshotPolicyDifference,
} from '../bridge/snapshot-model.ts';
import { clean, formatAge, formatTable, formatTime, shortHash } from './output.ts';

const trustWords = {
  own: 'of this console’s own fleet',
  named: 'the one you named',
  foreign: 'NOT KNOWN to this console',
} as const;
const standingWords = {
  good: '',
  unknown: '',
  locked: '; LOCKED since then: it may be forged',
  'not-allowed': '; may not make snapshots any more',
} as const;
const signs = { same: ' ', added: '+', removed: '-' } as const;

/** Whose, how old, who can open it. */
export const showInfo = ({ info, bytes, fileName }: SnapshotFile, now: number): string => {
  if (info === null) return fileName;
  const openers = [
    ...(info.hasPassphrase ? ['a passphrase'] : []),
    ...(info.keyHolders === 0 ? [] : [`${String(info.keyHolders)} ${info.keyHolders === 1 ? 'key' : 'keys'}`]),
  ];
  return [
    `Fleet        ${clean(info.fleetName)} (${clean(info.fleetId)})`,
    `Made         ${formatTime(info.createdAt)}, ${formatAge(info.createdAt, now)}, by console ${clean(info.consoleVersion)}`,
    `Author       ${clean(info.author)}${standingWords[info.standing]}`,
    `Device       ${info.device}`,
    `Root         ${info.rootSha256}, ${trustWords[info.trust]}`,
    `Holds        ${String(info.hosts)} ${info.hosts === 1 ? 'host' : 'hosts'}, profile ${info.profile}${info.maskKeyId === null ? ', nothing masked' : ''}`,
    `Opens with   ${openers.join(', ')}`,
    `Size         ${String(bytes)} bytes`,
  ].join('\n');
};

/** After it was written. */
export const showCreated = (file: SnapshotFile, path: string): string =>
  [
    `${String(file.info?.hosts ?? 0)} ${file.info?.hosts === 1 ? 'host' : 'hosts'}, profile ${file.info?.profile ?? ''}, ${String(file.bytes)} bytes in ${path}`,
    `Root ${file.info?.rootSha256 ?? ''}: tell it to whoever opens the file elsewhere, by another way than the file.`,
  ].join('\n');

/** As "nest hosts ls" shows them, as they were. */
export const showHosts = ({ rows, matched, total }: SnapshotHosts): string =>
  [
    formatTable(rows, [
      { title: 'NAME', value: ({ name }) => name },
      { title: 'STATE', value: ({ state }) => state },
      { title: 'ADDRESS', value: ({ address }) => address },
      { title: 'ENGINE', value: ({ engine }) => engine },
      { title: 'REV', value: ({ revision }) => revision },
      { title: 'GENERATION', value: ({ generation }) => shortHash(generation) },
      { title: 'AGENT', value: ({ agentVersion }) => agentVersion },
      { title: 'LABELS', value: ({ labels }) => labels.join(' ') },
      { title: 'SEEN', value: ({ seenAt }) => formatTime(seenAt) },
    ]),
    `${String(rows.length)} of ${String(matched)} that fit, ${String(total)} in the snapshot`,
  ].join('\n');

/** One host. */
export const showHostDetail = (detail: SnapshotHostDetail, now: number): string => {
  const { row, facts, sample, documents, port, cluster, hasPolicy, hasImage } = detail;
  return [
    `Host         ${clean(row.name)} (${row.hostId})`,
    `Address      ${clean(row.address)} port ${String(port)}`,
    `Labels       ${row.labels.map(clean).join(' ') || '-'}${cluster === null ? '' : `, cluster ${clean(cluster)}`}`,
    `State then   ${row.state}${row.stateReason === null ? '' : `: ${clean(row.stateReason)}`}`,
    `Policy       revision ${String(row.revision ?? '-')}, generation ${shortHash(row.generation) ?? '-'}${hasPolicy ? (hasImage ? ', with its tables' : ', without tables') : ', not in the snapshot'}`,
    ...(facts === null
      ? []
      : [
          `System       ${clean(facts.operatingSystem)}, kernel ${clean(facts.kernel)}, ${String(facts.cpuCount)} processors, agent ${clean(row.agentVersion ?? '-')}`,
        ]),
    ...(sample?.warnings ?? []).map(
      ({ severity, title, message }) => `${severity === 'critical' ? 'CRITICAL' : 'Warning '}     ${clean(title)}: ${clean(message)}`,
    ),
    ...documents.map(({ kind, at }) => `Holds        ${clean(kind)}, from ${formatTime(at)} (${formatAge(at, now)})`),
  ].join('\n');
};

/** From one state to the other. */
export const showComparison = (comparison: SnapshotComparison): string => {
  const { before, after, added, removed, changed, same, differences, isMaskShared } = comparison;
  return [
    `From ${clean(before.title)} (${formatTime(before.at)}) to ${clean(after.title)} (${formatTime(after.at)})`,
    ...differences.flatMap(({ name, kind, fields }) => [
      `${kind === 'added' ? '+' : kind === 'removed' ? '-' : '~'} ${clean(name)}`,
      ...fields.map(({ field, before: old, after: now }) => `    ${field}: ${shown(field, old)} > ${shown(field, now)}`),
    ]),
    ...(differences.length < added + removed + changed ? ['...'] : []),
    ...(isMaskShared ? [] : ['The two were masked by different consoles, or one is not masked: masked values were not compared.']),
    `${String(added)} added, ${String(removed)} removed, ${String(changed)} changed, ${String(same)} the same`,
  ].join('\n');
};

const shown = (field: string, value: string): string =>
  value === '' ? '-' : field === 'policy' || field === 'generation' || field === 'key' ? clean(shortHash(value) ?? '') : clean(value);

/** Lines of a policy. */
export const showDiff = ({ lines, hidden }: SnapshotPolicyDifference): string =>
  [
    ...(lines.length === 0 ? ['no difference'] : lines.map(({ kind, text }) => `${signs[kind]} ${clean(text)}`)),
    ...(hidden === 0 ? [] : [`... ${String(hidden)} more lines`]),
  ].join('\n');
