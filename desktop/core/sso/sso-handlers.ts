/** Single sign-on, as the bridge asks for it. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { SsoView } from '../../bridge/model.ts';
import { followAny } from '../../lib/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import { isAllowedUrl } from '../outside/guarded-fetch.ts';

type Handled = Extract<keyof BridgeHandlers, `sso.${string}`>;

export const ssoHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => {
  const { keeper, sso } = context;
  return {
    'sso.get': () => viewOf(context),
    'sso.watch': (_input, signal) => watch(context, signal),
    'sso.configure': async (input, signal) => {
      const { license, keys } = await keeper.session();
      await license.settle();
      license.require('sso', 'Single sign-on');
      const issuer = input.issuer.replace(/\/+$/, '');
      if (!isAllowedUrl(issuer)) throw new NestError('INPUT_INVALID', 'The issuer is an https address, as the provider names it.');
      const wanted = { issuer, clientId: input.clientId, domains: input.domains };
      const subject = input.required ? sso.boundTo(keys, wanted) : null;
      const binding = { ...wanted, required: input.required, subject };
      await keeper.update((present) => Promise.resolve({ ...present, sso: binding }), signal);
      sso.configured(binding);
      return viewOf(context);
    },
    'sso.remove': async (_input, signal) => {
      await keeper.update(({ sso: _gone, ...keys }) => Promise.resolve(keys), signal);
      sso.configured(undefined);
      return viewOf(context);
    },
    'sso.login': async (_input, signal) => {
      await sso.login(signal);
      return viewOf(context);
    },
    'sso.cancel': () => {
      sso.cancel();
      return viewOf(context);
    },
    'sso.logout': async (_input, signal) => {
      const { settings } = await sso.facts();
      sso.logout();
      if (settings?.required === true) await keeper.lock(signal);
      return viewOf(context);
    },
  };
};

const viewOf = async ({ keeper, sso }: HandlerContext): Promise<SsoView> => {
  const facts = await sso.facts();
  const isLicensed = await keeper.session().then(
    ({ license }) => license.entitlement.features.includes('sso'),
    () => null,
  );
  return { ...facts, isLicensed };
};

/** The view now and after every change, of a sign-in or of the lock. */
async function* watch(context: HandlerContext, signal: AbortSignal): AsyncGenerator<SsoView> {
  let last = '';
  for await (const _change of followAny([context.sso.changes, context.keeper.changes], signal)) {
    const view = await viewOf(context);
    const text = JSON.stringify(view);
    if (text !== last) yield view;
    last = text;
  }
}
