/** Licence and single sign-on over the bridge, for the settings page, the unlock page and the banner. */
import { bridgeApi, kindsOf } from './bridge-api.ts';

const licenseApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const { stream, query, command } = kindsOf(build);
    return {
      license: query('license.get', ['license']),
      setLicense: command('license.set', ['license']),
      removeLicense: command('license.remove', ['license']),
      checkLicense: command('license.check', ['license']),
      importLicense: command('license.import', ['license']),
      watchSso: stream('sso.watch'),
      configureSso: command('sso.configure'),
      removeSso: command('sso.remove'),
      loginSso: command('sso.login'),
      cancelSso: command('sso.cancel'),
      logoutSso: command('sso.logout'),
    };
  },
});

export const {
  useLicenseQuery,
  useSetLicenseMutation,
  useRemoveLicenseMutation,
  useCheckLicenseMutation,
  useImportLicenseMutation,
  useWatchSsoQuery,
  useConfigureSsoMutation,
  useRemoveSsoMutation,
  useLoginSsoMutation,
  useCancelSsoMutation,
  useLogoutSsoMutation,
} = licenseApi;
