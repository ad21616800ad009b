import { EnrollmentServiceService } from '../../../proto/gen/nest/v1/enrollment.ts';
import type {
  BeginRequest,
  BeginResponse,
  CompleteRequest,
  CompleteResponse,
  EnrollmentServiceServer,
  ProveRequest,
  ProveResponse,
} from '../../../proto/gen/nest/v1/enrollment.ts';
import type { HostFacts } from '../../../proto/gen/nest/v1/host.ts';
import type { IdentityControl } from '../../control/identity/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';

export interface EnrollmentServiceOptions {
  readonly adapter: CallAdapter;
  readonly identity: IdentityControl;
  readonly facts: () => HostFacts;
  readonly logger: Logger;
  /** Resolves when the port serves the new identity: the console may dial again the moment it has its answer. */
  readonly settled: () => Promise<void>;
}

/** Enrolment on the wire: binds each call to the key that the console showed in TLS. */
export const createEnrollmentService = ({ adapter, identity, facts, logger, settled }: EnrollmentServiceOptions): Service => {
  const implementation: EnrollmentServiceServer = {
    begin: adapter.unary<BeginRequest, BeginResponse>(async ({ tokenId, consoleNonce }, { connection }) => {
      const answer = await identity.begin({ tokenId, consoleNonce, consoleSpkiHash: connection.spkiHash });
      return { agentNonce: Buffer.from(answer.agentNonce), agentProof: Buffer.from(answer.agentProof) };
    }),
    prove: adapter.unary<ProveRequest, ProveResponse>(async ({ tokenId, consoleProof }, { connection }) => {
      const { signingRequest } = await identity.prove({ tokenId, consoleProof, consoleSpkiHash: connection.spkiHash });
      return { signingRequest: Buffer.from(signingRequest), facts: facts() };
    }),
    complete: adapter.unary<CompleteRequest, CompleteResponse>(
      async ({ tokenId, certificateChain, fleetRoot, fleetId, mac }, { connection }) => {
        const { agentId } = await identity.complete({
          tokenId,
          certificateChain,
          fleetRoot,
          fleetId,
          mac,
          consoleSpkiHash: connection.spkiHash,
        });
        logger.info('enrolled', { agentId, fleetId });
        await settled();
        return { agentId };
      },
    ),
  };
  return { definition: EnrollmentServiceService, implementation };
};
