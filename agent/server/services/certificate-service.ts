import { X509Certificate } from 'node:crypto';
import { CertServiceService } from '../../../proto/gen/nest/v1/certificate.ts';
import type {
  CertServiceServer,
  GetSigningRequestRequest,
  GetSigningRequestResponse,
  InstallCertificateRequest,
  InstallCertificateResponse,
  InstallRevocationListsRequest,
  InstallRevocationListsResponse,
  ListCertificatesRequest,
  ListCertificatesResponse,
  TakeRootChangeRequest,
  TakeRootChangeResponse,
} from '../../../proto/gen/nest/v1/certificate.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { AgentIdentity, IdentityControl } from '../../control/identity/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';

export interface CertificateServiceOptions {
  readonly adapter: CallAdapter;
  readonly identity: IdentityControl;
  readonly logger: Logger;
  /** Resolves when new connections see what was installed. */
  readonly settled: () => Promise<void>;
}

/** Renewal of this agent's certificate, and of what it knows about revoked ones. */
export const createCertificateService = ({ adapter, identity, logger, settled }: CertificateServiceOptions): Service => {
  const implementation: CertServiceServer = {
    listCertificates: adapter.unary<ListCertificatesRequest, ListCertificatesResponse>(async () => {
      const { certificateChain, fleetRoot } = enrolled(identity);
      const { lists, isChecked } = identity.revocation();
      return {
        certificateChain: dersOf(certificateChain),
        fleetRoots: dersOf(fleetRoot),
        revocationLists: lists.map(({ issuer, sha256, thisUpdateMs, nextUpdateMs, revoked }) => ({
          issuer,
          sha256,
          thisUpdateMs: BigInt(thisUpdateMs),
          nextUpdateMs: BigInt(nextUpdateMs),
          revoked,
        })),
        revocationChecked: isChecked,
        problem: identity.problem()?.message ?? '',
        rootChange: identity.rootChange() ?? undefined,
      };
    }),
    getSigningRequest: adapter.unary<GetSigningRequestRequest, GetSigningRequestResponse>(async ({ freshKey }) => {
      const { signingRequest, presentKeySignature } = await identity.renewalRequest(freshKey);
      return { signingRequest: Buffer.from(signingRequest), presentKeySignature: Buffer.from(presentKeySignature) };
    }),
    installCertificate: adapter.unary<InstallCertificateRequest, InstallCertificateResponse>(async ({ certificateChain }) => {
      const { endsAtMs, fingerprint } = await identity.installCertificate(certificateChain);
      await settled();
      logger.info('certificate renewed', { endsAt: new Date(endsAtMs).toISOString(), fingerprint });
      return { endsAtMs: BigInt(endsAtMs), spkiSha256: Buffer.from(fingerprint, 'hex') };
    }),
    installRevocationLists: adapter.unary<InstallRevocationListsRequest, InstallRevocationListsResponse>(
      async ({ revocationLists, authorities }) => {
        const taken = await identity.installRevocationLists({ lists: revocationLists, authorities });
        if (taken > 0) logger.info('lists of revoked certificates renewed', { taken });
        // The caller may be among the revoked: it hears the answer when it is not.
        await settled();
        return { taken };
      },
    ),
    takeRootChange: adapter.unary<TakeRootChangeRequest, TakeRootChangeResponse>(async ({ change }) => {
      if (change === undefined) throw new NestError('INPUT_INVALID', 'There is no change of the root in the call. Upgrade the console.');
      const { rootStep, fleetRoot } = await identity.takeRootChange(change);
      await settled();
      logger.info('change of the fleet root', { phase: rootStep?.phase, sequence: rootStep?.sequence });
      return { sequence: BigInt(rootStep?.sequence ?? 0), fleetRoots: dersOf(fleetRoot) };
    }),
  };
  return { definition: CertServiceService, implementation };
};

/** Throws NOT_ENROLLED. */
const enrolled = (identity: IdentityControl): AgentIdentity => {
  const own = identity.identity();
  if (own === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
  return own;
};

const dersOf = (pem: string): Buffer[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map((text) => new X509Certificate(text).raw);
