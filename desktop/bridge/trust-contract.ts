/** The part of the contract about who may come in, and by what: licence, single sign-on, certificates, devices, second factors. */
import { z } from 'zod/mini';
import { command, hostId, name, nothing, of, passphrase, query, stream } from './contract-parts.ts';
import { breakGlassInputs, mfaInputs } from './mfa-model.ts';
import type * as model from './model.ts';
import type { RootChangeView } from './root-change-model.ts';

const deviceFile = z.string().check(z.maxLength(8 << 20));
const fingerprint = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const rootChangeStep = z.strictObject({ leaveBehind: z.optional(z.boolean()) });
const rootFile = z.string().check(z.maxLength(64 << 10));
const ssoSettings = z.strictObject({
  issuer: z.string().check(z.minLength(8), z.maxLength(500)),
  clientId: z.string().check(z.minLength(1), z.maxLength(200)),
  required: z.boolean(),
  domains: z.array(z.string().check(z.regex(/^[a-z0-9.-]{1,253}$/))).check(z.maxLength(32)),
});

export const trustContract = {
  // ---- licence and single sign-on ----
  'license.get': query(nothing, of<model.LicenseView>()),
  /** Into the vault, once the server does not refuse it. */
  'license.set': command(z.strictObject({ key: z.string().check(z.maxLength(100)) }), of<model.LicenseView>()),
  'license.remove': command(nothing, of<model.LicenseView>()),
  /** Asks the server now; with a name also about that feature. */
  'license.check': command(z.strictObject({ feature: z.optional(name) }), of<model.LicenseCheck>()),
  'license.import': command(z.strictObject({ file: rootFile }), of<model.LicenseView>()),
  /** Also while the fleet is locked: then only what is no secret. */
  'sso.get': query(nothing, of<model.SsoView>()),
  'sso.watch': stream(nothing, of<model.SsoView>()),
  'sso.configure': command(ssoSettings, of<model.SsoView>()),
  'sso.remove': command(nothing, of<model.SsoView>()),
  /** Begins the device flow; `sso.watch` tells how it ends. */
  'sso.login': command(nothing, of<model.SsoView>()),
  'sso.cancel': command(nothing, of<model.SsoView>()),
  'sso.logout': command(nothing, of<model.SsoView>()),

  // ---- certificates ----
  'certificate.list': query(nothing, of<model.CertificateList>()),
  /** A new certificate for a connected host now; with `freshKey` for a new key that the present one signs for. */
  'certificate.renew': command(z.strictObject({ hostId, freshKey: z.optional(z.boolean()) }), of<model.CertificateList>()),
  /** Puts it on the list of its issuer and takes the list to every connected host. */
  'certificate.revoke': command(z.strictObject({ serial: z.string().check(z.regex(/^[0-9a-f]{1,40}$/)) }), of<model.CertificateList>()),
  /** The fleet root as a file under a passphrase of its own, to be kept elsewhere. */
  'certificate.root.export': command(z.strictObject({ passphrase }), of<model.RootFile>()),
  /** Takes the key of the root from this console; the file must open, so that it is not lost. */
  'certificate.root.remove': command(z.strictObject({ file: rootFile, passphrase }), of<model.RootState>()),
  'certificate.root.restore': command(z.strictObject({ file: rootFile, passphrase }), of<model.RootState>()),

  // ---- a change of the fleet's root ----
  'root-change.get': query(nothing, of<RootChangeView>()),
  /** Makes the new root and tells hosts of it. Raises SCOPE_MISSING without the key of the present one. */
  'root-change.start': command(nothing, of<RootChangeView>()),
  /** The next step. Raises ROOT_CHANGE_HELD while something hangs on the old root, unless it is to be left behind. */
  'root-change.advance': command(rootChangeStep, of<RootChangeView>()),
  'root-change.rollback': command(rootChangeStep, of<RootChangeView>()),

  // ---- other operators and devices ----
  /** Without a fleet: makes a key that waits under the passphrase. In an open fleet: asks for a new certificate for this device's key. */
  'device.request': command(z.strictObject({ operatorName: name, passphrase: z.optional(passphrase) }), of<model.DeviceFile>()),
  'device.inspect': query(z.strictObject({ file: deviceFile }), of<model.DeviceFileContent>()),
  /** share: which authorities' keys the device gets, to admit hosts and renew their certificates, or operators too. */
  'device.admit': command(
    z.strictObject({ file: deviceFile, fingerprint, share: z.optional(z.enum(['none', 'agents', 'all'])) }),
    of<model.DeviceFile>(),
  ),
  'device.join': command(
    z.strictObject({ file: deviceFile, rootFingerprint: fingerprint, storage: z.enum(['keychain', 'passphrase']), passphrase }),
    of<model.ConsoleState>(),
  ),

  // ---- second factors and break-glass ----
  'mfa.get': query(nothing, of<model.MfaState>()),
  /** Makes a secret and brings it to its witnesses; what it answers is shown once. */
  'mfa.enrol': command(mfaInputs.enrol, of<model.FactorOffer>()),
  'mfa.confirm': command(mfaInputs.confirm, of<model.FactorConfirmed>()),
  /** An owner takes up the factor of another operator. */
  'mfa.admit': command(mfaInputs.admit, of<model.MfaState>()),
  /** Raises MFA_WRONG, LIMIT_REACHED. With `act`, the details of MFA_REQUIRED, the code counts for that act alone. */
  'mfa.stepUp': command(mfaInputs.stepUp, of<model.MfaState>()),
  'mfa.remove': command(mfaInputs.remove, of<model.MfaState>()),
  'breakGlass.seal': command(breakGlassInputs.seal, of<model.BreakGlassFile>()),
  /** Needs the sealed file and no fleet. */
  'breakGlass.grant': command(breakGlassInputs.grant, of<model.GrantText>()),
  'breakGlass.cosign': command(breakGlassInputs.cosign, of<model.GrantText>()),
  'breakGlass.use': command(breakGlassInputs.use, of<readonly model.GrantUse[]>()),
  'breakGlass.list': query(nothing, of<readonly model.BreakGlassRow[]>()),
} as const;
