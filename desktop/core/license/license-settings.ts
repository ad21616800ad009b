/** What the environment says about the licence. Nothing in it may keep a console from opening: what is wrong is shown instead. */
import { isAllowedUrl } from '../outside/guarded-fetch.ts';
import { isLicenseKey } from './license-key.ts';
import { pinnedLicenseKeys } from './pinned-license-keys.ts';

export interface LicenseSettings {
  /** RELEASE_MODE: only then is anything refused for want of a licence. */
  readonly isRelease: boolean;
  /** LICENSE_KEY: goes before the key in the vault. */
  readonly key: string | null;
  /** LICENSE_SERVER_URL without a slash at its end; null when what was given cannot be used. */
  readonly serverUrl: string | null;
  /** PRODUCT_NAME */
  readonly product: string;
  /** Ed25519, SPKI in DER, base64: who may sign entitlement files. */
  readonly publicKeys: readonly string[];
  /** A sentence about what was wrong with the environment. */
  readonly problem: string | null;
}

const serverDefault = 'https://license.penguintech.io';
const productDefault = 'nest';

/** A console that was told nothing: development, no key. */
export const developmentSettings: LicenseSettings = {
  isRelease: false,
  key: null,
  serverUrl: serverDefault,
  product: productDefault,
  publicKeys: pinnedLicenseKeys,
  problem: null,
};

/** LICENSE_PUBLIC_KEY (for tests and trials) counts only outside of release mode: there the keys of the build alone count. */
export const readLicenseSettings = (environment: Readonly<Record<string, string | undefined>>): LicenseSettings => {
  const text = (name: string): string => environment[name]?.trim() ?? '';
  const isRelease = /^(true|1|yes|on)$/i.test(text('RELEASE_MODE'));
  const key = text('LICENSE_KEY').toUpperCase();
  const serverUrl = (text('LICENSE_SERVER_URL') || serverDefault).replace(/\/+$/, '');
  const testKey = text('LICENSE_PUBLIC_KEY');
  const problems = [
    ...(key === '' || isLicenseKey(key) ? [] : ['LICENSE_KEY is no licence key and is left aside.']),
    ...(isAllowedUrl(serverUrl) ? [] : ['LICENSE_SERVER_URL is not an https address; no licence server is asked.']),
  ];
  return {
    isRelease,
    key: isLicenseKey(key) ? key : null,
    serverUrl: isAllowedUrl(serverUrl) ? serverUrl : null,
    product: text('PRODUCT_NAME') || productDefault,
    publicKeys: testKey === '' || isRelease ? pinnedLicenseKeys : [...pinnedLicenseKeys, testKey],
    problem: problems.length === 0 ? null : problems.join(' '),
  };
};
