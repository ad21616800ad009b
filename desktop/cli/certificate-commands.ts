/** nest fleet certificates [renew | revoke], nest fleet revoke */
import type { Command } from 'commander';
import { NestError } from '../../proto/model/error.ts';
import type { CertificateList, CertificateRow } from '../bridge/model.ts';
import { askYes, findHost, matchingHosts, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import type { HostFilter } from './host-choice.ts';
import { clean, formatTable, formatTime, shortHash } from './output.ts';

/** Below "nest fleet". */
export const addCertificateCommands = (fleet: Command, invocation: Invocation): void => {
  const certificates = fleet
    .command('certificates')
    .description('everything of the fleet that ends some day, what ends first comes first')
    .option(...whereOption)
    .option(...groupOption)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & HostFilter>();
      return withFleet(invocation, options, async (context) => {
        const list = await context.handlers['certificate.list']({}, context.signal);
        context.print(await ofHosts(context, list, options), showCertificates);
      });
    });
  certificates
    .command('renew <host>')
    .description('give a connected host a new certificate now')
    .option('--fresh-key', 'with a new key, which the present one signs for')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly freshKey?: true }>();
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        const { hostId } = await findHost(context, name);
        const list = await context.handlers['certificate.renew']({ hostId, freshKey: options.freshKey === true }, context.signal);
        context.print(list, showCertificates);
      });
    });
  for (const parent of [certificates, fleet]) addRevoke(parent, invocation);
};

const addRevoke = (parent: Command, invocation: Invocation): void => {
  parent
    .command('revoke <name-or-serial>')
    .description('lock a device out, put its certificate on the list of revoked ones, and take both to every connected host')
    .option('--yes', 'do not ask')
    .action((wanted: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        const row = findCertificate(await context.handlers['certificate.list']({}, context.signal), wanted);
        const question = `Revoke the certificate of ${clean(row.name)} (${row.kind}, serial ${row.serial ?? ''})? This cannot be undone.`;
        if (options.yes !== true && !(await askYes(context, question, '--yes'))) return;
        const list = await context.handlers['certificate.revoke']({ serial: row.serial ?? '' }, context.signal);
        context.print(list, showCertificates);
      });
    });
};

/** All rows, or those of the hosts that fit. */
const ofHosts = async (context: CommandContext, list: CertificateList, filter: HostFilter): Promise<CertificateList> => {
  if (filter.where === undefined && filter.group === undefined) return list;
  const fitting = new Set((await matchingHosts(context, filter)).map(({ hostId }) => hostId));
  return { ...list, rows: list.rows.filter(({ hostId }) => hostId !== null && fitting.has(hostId)) };
};

/** Raises NOT_FOUND, also when a name fits several. */
const findCertificate = ({ rows }: CertificateList, wanted: string): CertificateRow => {
  const found = rows.filter(({ serial, name }) => serial !== null && (serial === wanted.toLowerCase() || name === wanted));
  // Certificates of one key are one device's: the newest stands for all.
  const [row] = found.toSorted((a, b) => b.endsAt - a.endsAt);
  if (row !== undefined && found.every(({ fingerprint, kind }) => fingerprint === row.fingerprint && kind === row.kind)) return row;
  const own = rows.find(({ kind, name }) => kind === 'operator' && name === `${wanted} (this device)`);
  if (row === undefined && own !== undefined)
    throw new NestError(
      'NOT_FOUND',
      `${wanted} is this device, which is not revoked by its name. To shut it out, revoke its serial number ${own.serial ?? ''} on the console of another owner; revoked here it goes on with a fresh key, as after a restored backup.`,
    );
  throw new NestError(
    'NOT_FOUND',
    row === undefined
      ? `There is no certificate ${wanted}. "nest fleet certificates" lists them.`
      : `Several certificates are named ${wanted}. Name one by its serial number.`,
  );
};

const showCertificates = ({ rows }: CertificateList): string =>
  [
    formatTable(rows, [
      { title: 'ENDS', value: ({ endsAt }) => formatTime(endsAt) },
      { title: 'ALERT', value: alertText },
      { title: 'KIND', value: ({ kind }) => kind },
      { title: 'NAME', value: ({ name }) => name },
      { title: 'KEY', value: ({ fingerprint }) => shortHash(fingerprint) },
      { title: 'SERIAL', value: ({ serial }) => serial },
    ]),
    ...rows.filter(({ alert }) => alert !== 'none').map(({ name, note }) => `${clean(name)}: ${clean(note)}`),
  ].join('\n');

const alertTexts: Readonly<Record<CertificateRow['alert'], string | null>> = {
  none: null,
  month: '30 days',
  week: '7 days',
  day: '1 day',
  ended: 'ENDED',
};

const alertText = ({ alert, isRevoked }: CertificateRow): string | null => (isRevoked ? 'revoked' : alertTexts[alert]);
