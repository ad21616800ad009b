/** Certificates of the fleet and the key of its root, as the bridge asks for them. */
import { X509Certificate } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { RootState } from '../../bridge/model.ts';
import { rootSpkiHash } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { openRoot, sealRoot } from '../authority/root-file.ts';
import type { HandlerContext } from '../handler-context.ts';

type Handled = Extract<keyof BridgeHandlers, `certificate.${string}`>;

export const certificateHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => rootHandlers(context);

const rootHandlers = ({ keeper, random }: HandlerContext): Pick<BridgeHandlers, Extract<Handled, `certificate.root.${string}`>> => ({
  'certificate.root.export': async ({ passphrase }) => {
    const { keys } = await keeper.session();
    const { fleetId, fleetName } = keys;
    const { certificate, privateKey } = keys.root;
    if (privateKey === null)
      throw new NestError('NOT_FOUND', 'The key of the root is not on this console: restore it first, or use the file that holds it.');
    const file = await sealRoot({ fleetId, fleetName, root: { certificate, privateKey } }, passphrase, { random });
    return { fileName: `nest-root-${fleetId}.json`, file };
  },
  'certificate.root.remove': async ({ file, passphrase }, signal) => {
    const keys = await keeper.update(async (present) => {
      await rootOf(present, file, passphrase);
      if (present.authorities === undefined)
        throw new NestError('NOT_FOUND', 'This fleet has no issuing authorities yet. Lock and unlock it once, then try again.');
      return { ...present, root: { ...present.root, privateKey: null } };
    }, signal);
    return stateOf(keys);
  },
  'certificate.root.restore': async ({ file, passphrase }, signal) => {
    const keys = await keeper.update(
      async (present) => ({ ...present, root: { ...present.root, privateKey: await rootOf(present, file, passphrase) } }),
      signal,
    );
    return stateOf(keys);
  },
});

/** The private key in the file. Raises FLEET_MISMATCH when it is another root's, and what opening it raises. */
const rootOf = async (keys: FleetKeys, file: string, passphrase: string): Promise<string> => {
  const { root } = await openRoot(file, passphrase);
  if (!Buffer.from(rootSpkiHash({ root })).equals(rootSpkiHash(keys)))
    throw new NestError('FLEET_MISMATCH', 'This file holds the root of another fleet. Choose the file of this one.');
  return root.privateKey;
};

const stateOf = (keys: FleetKeys): RootState => ({
  isHere: keys.root.privateKey !== null,
  fingerprint: Buffer.from(rootSpkiHash(keys)).toString('hex'),
  endsAt: new X509Certificate(keys.root.certificate).validToDate.getTime(),
});
