/** The licence, as the bridge asks for it. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HandlerContext } from '../handler-context.ts';
import { parseLicenseKey } from './license-key.ts';

type Handled = Extract<keyof BridgeHandlers, `license.${string}`>;

export const licenseHandlers = ({ keeper, license }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'license.get': async () => (await keeper.session()).license.view(),
  'license.set': async ({ key: text }, signal) => {
    refuseFromEnvironment(license?.key ?? null);
    const key = parseLicenseKey(text);
    const { license: desk } = await keeper.session();
    const reply = await desk.tryKey(key, signal);
    await keeper.update((keys) => Promise.resolve({ ...keys, license: key }), signal);
    desk.keyChanged(reply);
    return desk.view();
  },
  'license.remove': async (_input, signal) => {
    refuseFromEnvironment(license?.key ?? null);
    await keeper.update(({ license: _gone, ...keys }) => Promise.resolve(keys), signal);
    const { license: desk } = await keeper.session();
    desk.keyChanged(null);
    return desk.view();
  },
  'license.check': async ({ feature }, signal) => (await keeper.session()).license.check(feature, signal),
  'license.import': async ({ file }) => {
    const { license: desk } = await keeper.session();
    desk.takeFile(file);
    return desk.view();
  },
});

const refuseFromEnvironment = (key: string | null): void => {
  if (key !== null)
    throw new NestError('LICENSE_INVALID', 'The licence key comes from LICENSE_KEY of the environment. Change or remove it there.');
};
