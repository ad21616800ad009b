import { AuditServiceService } from '../../../proto/gen/nest/v1/audit.ts';
import type {
  AuditServiceServer,
  GetHeadRequest,
  GetHeadResponse,
  ListEntriesRequest,
  ListEntriesResponse,
  VerifyRangeRequest,
  VerifyRangeResponse,
} from '../../../proto/gen/nest/v1/audit.ts';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import type { AuditControl } from '../../control/audit/api.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { toSafeNumber, withDefault } from '../wire/number-wire.ts';

export interface AuditServiceOptions {
  readonly adapter: CallAdapter;
  readonly audit: Pick<AuditControl, 'head' | 'extent' | 'broken' | 'entries' | 'verify'>;
}

const listBounds = { field: 'max', min: 1, max: 1_000_000, fallback: 1000 } as const;

/** The audit log on the wire: its signed head, its entries as they are hashed, its own check. */
export const createAuditService = ({ adapter, audit }: AuditServiceOptions): Service => {
  const implementation: AuditServiceServer = {
    getHead: adapter.unary<GetHeadRequest, GetHeadResponse>(async () => {
      const { envelope } = await audit.head();
      return {
        head: SignedEnvelope.decode(envelope),
        firstNumber: BigInt(audit.extent().first),
        brokenNumber: BigInt(audit.broken() ?? 0),
      };
    }),
    listEntries: adapter.stream<ListEntriesRequest, ListEntriesResponse>(async function* ({ after, max }) {
      for await (const entries of audit.entries(toSafeNumber(after, 'after'), withDefault(max, listBounds)))
        yield { entries: [...entries] };
    }),
    verifyRange: adapter.unary<VerifyRangeRequest, VerifyRangeResponse>(async () => {
      const { first, last, problem } = await audit.verify();
      return {
        firstNumber: BigInt(first),
        lastNumber: BigInt(last),
        brokenNumber: BigInt(problem?.number ?? 0),
        message: problem?.message ?? '',
      };
    }),
  };
  return { definition: AuditServiceService, implementation };
};
