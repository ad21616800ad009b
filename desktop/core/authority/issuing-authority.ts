/** The two authorities below the root: one for agents, one for operators and clients. With them the root can lie in a safe. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { authorityUri } from '../../../proto/model/certificate-path.ts';
import type { AuthorityRole } from '../../../proto/model/certificate-path.ts';
import { createRoot, dayMs, generateKeys, issueCertificate, privatePem } from './certificate-maker.ts';
import type { Authority, AuthorityContext, KeyPair } from './certificate-maker.ts';

export interface Authorities {
  readonly agents: Authority;
  readonly operators: Authority;
}

/** An authority lives longer than the longest leaf it signs: agents a year, operators a month. */
const authorityDays: Readonly<Record<AuthorityRole, number>> = { agents: 730, operators: 365 };
/** A new certificate for the same key is due when fewer days are left: leaves must not be cut short. */
const renewalDays: Readonly<Record<AuthorityRole, number>> = { agents: 400, operators: 90 };
const rootDays = 3_650;

/** What an authority's leaves may be used for; OpenSSL holds chains to it. */
const usages: Readonly<Record<AuthorityRole, string>> = {
  agents: x509.ExtendedKeyUsage.serverAuth,
  operators: x509.ExtendedKeyUsage.clientAuth,
};

/** A root for ten years. Generations differ in name: chains under two roots of a fleet are never mixed up. */
export const createFleetRoot = (
  { fleetId, fleetName, generation = 1 }: { readonly fleetId: string; readonly fleetName: string; readonly generation?: number },
  context: AuthorityContext,
): Promise<KeyPair> => {
  const unit = generation === 1 ? [] : [{ OU: [`root ${String(generation)}`] }];
  return createRoot([{ CN: [`${fleetName} fleet root`.slice(0, 64)] }, ...unit, { O: [fleetId] }], rootDays, context);
};

/** Both authorities with fresh keys. Raises SCOPE_MISSING without the root's key. */
export const createAuthorities = async (fleetId: string, root: Authority, context: AuthorityContext): Promise<Authorities> => ({
  agents: await createAuthority({ fleetId, role: 'agents', root }, context),
  operators: await createAuthority({ fleetId, role: 'operators', root }, context),
});

interface AuthorityPlan {
  readonly fleetId: string;
  readonly role: AuthorityRole;
  readonly root: Authority;
}

/** One authority with a fresh key. Raises SCOPE_MISSING without the root's key. */
export const createAuthority = async (plan: AuthorityPlan, context: AuthorityContext): Promise<Authority> => {
  const keys = await generateKeys();
  return { certificate: await certify(plan, keys.publicKey, context), privateKey: await privatePem(keys.privateKey) };
};

const certify = async (
  { fleetId, role, root }: AuthorityPlan,
  publicKey: x509.PublicKeyType,
  context: AuthorityContext,
): Promise<string> => {
  const certificate = await issueCertificate(root, context, {
    subject: [{ CN: [role] }, { OU: ['issuing'] }, { O: [fleetId] }],
    publicKey,
    days: authorityDays[role],
    usage: usages[role],
    names: [{ type: 'url', value: authorityUri(fleetId, role) }],
    isAuthority: true,
  });
  return certificate.toString('pem');
};

/** True when the authority needs a new certificate, and with it the root. */
export const isAuthorityRenewalDue = (role: AuthorityRole, { certificate }: Authority, now: number): boolean =>
  new x509.X509Certificate(certificate).notAfter.getTime() - now < renewalDays[role] * dayMs;

/**
 * The same authorities, with new certificates for the same keys where they are due: leaves under the old ones stay good. Without the
 * root's key nothing changes; the list of certificates says so.
 */
export const renewAuthorities = async (
  fleet: { readonly fleetId: string; readonly root: Authority; readonly authorities: Authorities },
  context: AuthorityContext,
): Promise<Authorities> => {
  const { fleetId, root, authorities } = fleet;
  const renewed = async (role: AuthorityRole): Promise<Authority> => {
    const authority = authorities[role];
    if (root.privateKey === null || !isAuthorityRenewalDue(role, authority, context.now)) return authority;
    const { publicKey } = new x509.X509Certificate(authority.certificate);
    return { ...authority, certificate: await certify({ fleetId, role, root }, publicKey, context) };
  };
  return { agents: await renewed('agents'), operators: await renewed('operators') };
};
