/** Second factors and break-glass, as the bridge asks for them. Grants are made without a fleet; all else needs the open one. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HandlerContext } from '../handler-context.ts';
import { cosignBreakGlass, grantBreakGlass, sealBreakGlass } from './break-glass-file.ts';

type Handled = Extract<keyof BridgeHandlers, `mfa.${string}` | `breakGlass.${string}`>;

export const mfaHandlers = ({ keeper, roster, clock, random }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'mfa.get': async () => (await keeper.session()).mfa.state(),
  'mfa.enrol': async ({ hostIds }, signal) => (await keeper.session()).mfa.enrol(hostIds, signal),
  'mfa.confirm': async ({ factorId, code }, signal) => (await keeper.session()).mfa.confirm(factorId, code.trim(), signal),
  'mfa.admit': async ({ claim }) => (await keeper.session()).mfa.admit(claim),
  'mfa.stepUp': async ({ code, act }, signal) => (await keeper.session()).mfa.stepUp(code.trim(), act, signal),
  'mfa.remove': async ({ subject }) => (await keeper.session()).mfa.remove(subject),
  'breakGlass.seal': async ({ passphrase }) => {
    const { keys, access } = await keeper.session();
    if (keys.owner === undefined)
      throw new NestError('SCOPE_MISSING', 'This console holds no key of an owner. Seal the key on the console of an owner.');
    const request = {
      fleetId: keys.fleetId,
      fleetName: keys.fleetName,
      owner: access.book.subject,
      ownerKey: keys.owner,
      hosts: roster.all.map(({ record }) => ({ id: record.hostId, name: record.name })),
      clusters: access.book.chain.body?.clusters.map(({ id }) => id) ?? [],
    };
    return { file: await sealBreakGlass(request, passphrase, random) };
  },
  'breakGlass.grant': async ({ file, passphrase, ...request }) =>
    grantBreakGlass({ file, passphrase }, request, { now: clock.now(), random }),
  'breakGlass.cosign': async ({ file, passphrase, grant }) => cosignBreakGlass({ file, passphrase }, grant),
  'breakGlass.use': async ({ grant }, signal) => (await keeper.session()).breakGlass.use(grant, signal),
  'breakGlass.list': async () => (await keeper.session()).breakGlass.list(),
});
