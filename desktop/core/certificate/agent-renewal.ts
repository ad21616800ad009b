/** One agent's certificate and lists, brought up to date over its live connection. */
import { X509Certificate, createHash, verify } from 'node:crypto';
import { keyChangeInput } from '../../../proto/model/enrollment.ts';
import { keyIdOf } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { publicKeyOf, rootFingerprint, signAgent } from '../authority/fleet-authority.ts';
import type { AuthorityContext, FleetKeys, SignedAgent } from '../authority/fleet-authority.ts';
import { emptyRevocation, revocationDelivery } from '../authority/revocation-list.ts';
import { rootStepOf, statementOf } from '../authority/root-change-record.ts';
import type { HostRecord } from '../cache/fleet-cache.ts';

const dayMs = 86_400_000;
/** Agents' certificates hold a year; a new one is due when less than two thirds are left. */
const renewalMs = (365 * dayMs * 2) / 3;

export interface AgentRenewal {
  readonly keys: FleetKeys;
  readonly client: AgentClient;
  readonly record: HostRecord;
  /** Keeps the record at once, also in the middle of a change of keys. */
  readonly save: (record: HostRecord) => void;
  readonly context: AuthorityContext;
  readonly signal: AbortSignal;
}

/** True when a third of the certificate's life is used, or it is still the root's own word. */
export const isAgentRenewalDue = (record: HostRecord, keys: FleetKeys, now: number): boolean =>
  record.certificateEndsAt - now < renewalMs ||
  (keys.authorities !== undefined && record.issuedBy !== 'agents') ||
  (keys.rootChange !== undefined && rootOf(record, keys) !== rootFingerprint(keys));

/** SHA-256 of the key of the root that a host's certificate leads to. */
export const rootOf = ({ rootSha256 }: Pick<HostRecord, 'rootSha256'>, keys: FleetKeys): string => {
  const step = rootStepOf(keys);
  return rootSha256 ?? (step === null ? rootFingerprint(keys) : keyIdOf(step.from.publicKey).toString('hex'));
};

/** Takes the last step of a change of the root to an agent. Returns the record, which remembers that it knows it. */
export const deliverRootStep = async ({ keys, client, record, save, signal }: AgentRenewal): Promise<HostRecord> => {
  const sequence = rootStepOf(keys)?.sequence;
  if (keys.rootChange === undefined || sequence === undefined || record.rootStep === sequence) return record;
  await client.takeRootChange(statementOf(keys.rootChange), { signal });
  const delivered = { ...record, rootStep: sequence };
  save(delivered);
  return delivered;
};

/** Whether this console holds a key that may sign agents. */
export const mayRenew = (keys: FleetKeys): boolean => (keys.authorities?.agents ?? keys.root).privateKey !== null;

/**
 * A new certificate, for the key that the inventory pins or for a fresh one that this key has signed for. The record names both keys
 * while the change is under way, so that a broken connection leaves a host that is still known. Returns the record as it is now.
 */
export const renewAgent = async (renewal: AgentRenewal, hasFreshKey: boolean): Promise<HostRecord> => {
  const { client, keys, context, signal, save } = renewal;
  const record = await settleKeyChange(renewal);
  const { signingRequest, presentKeySignature } = await client.getSigningRequest(hasFreshKey, { signal });
  const spkiSha256 = hasFreshKey ? await approvedKey(renewal, { record, signingRequest, presentKeySignature }) : record.spkiSha256;
  const request = { agentId: record.hostId, hostName: record.name, signingRequest, spkiSha256 };
  const signed = await signAgent(keys, request, context);
  if (hasFreshKey) save({ ...record, nextSpkiSha256: spkiSha256 });
  const answer = await client.installCertificate(signed.chain, { signal });
  if (Buffer.from(answer.spkiSha256).toString('hex') !== spkiSha256)
    throw new NestError('IDENTITY_MISMATCH', 'The agent goes on with another key than the one that was certified. Look into its log.');
  const renewed = settled(record, spkiSha256, signed);
  save(renewed);
  return renewed;
};

/** Takes the lists to an agent; its own newer ones stay. Returns the record, which remembers what was taken there. */
export const deliverRevocation = async ({ keys, client, record, save, signal }: AgentRenewal): Promise<HostRecord> => {
  const digest = deliveryDigest(keys);
  if (digest === null || record.revocationSha256 === digest) return record;
  await client.installRevocationLists(revocationDelivery(keys, keys.revocation ?? emptyRevocation), { signal });
  const delivered = { ...record, revocationSha256: digest };
  save(delivered);
  return delivered;
};

/** What the next delivery is, as one text; null when there is nothing to deliver. */
export const deliveryDigest = (keys: FleetKeys): string | null => {
  const { lists, authorities } = revocationDelivery(keys, keys.revocation ?? emptyRevocation);
  if (lists.length === 0) return null;
  const hash = createHash('sha256');
  for (const part of [...authorities, ...lists]) hash.update(createHash('sha256').update(part).digest());
  return hash.digest('hex');
};

/** After a change of keys that broke off: which key the agent has is what it shows. */
export const settleKeyChange = async ({ client, record, save, signal }: AgentRenewal): Promise<HostRecord> => {
  if (record.nextSpkiSha256 === undefined) return record;
  const { certificateChain } = await client.listCertificates({ signal });
  const leaf = new X509Certificate(certificateChain[0] ?? Buffer.alloc(0));
  const spkiSha256 = hashOf(spkiOf(leaf));
  const { nextSpkiSha256, ...rest } = record;
  if (spkiSha256 !== record.spkiSha256 && spkiSha256 !== nextSpkiSha256)
    throw new NestError('IDENTITY_MISMATCH', 'The agent shows a key that was never approved. Remove the host and add it again.');
  const known = { ...rest, spkiSha256, certificateEndsAt: leaf.validToDate.getTime() };
  save(known);
  return known;
};

const settled = (
  { nextSpkiSha256: _next, ...record }: HostRecord,
  spkiSha256: string,
  { endsAt, chain, serial, rootSha256 }: SignedAgent,
): HostRecord => ({
  ...record,
  spkiSha256,
  certificateEndsAt: endsAt,
  certificateSerial: serial,
  issuedBy: chain.length > 1 ? 'agents' : 'root',
  rootSha256,
});

/** The fresh key, when the pinned key has signed for it. Raises PROOF_INVALID. */
const approvedKey = async (
  { client, signal }: AgentRenewal,
  offer: { readonly record: HostRecord; readonly signingRequest: Uint8Array; readonly presentKeySignature: Uint8Array },
): Promise<string> => {
  const { record, signingRequest, presentKeySignature } = offer;
  const { certificateChain } = await client.listCertificates({ signal });
  const present = new X509Certificate(certificateChain[0] ?? Buffer.alloc(0)).publicKey;
  const nextSpki = await publicKeyOf(signingRequest);
  const isPinned = hashOf(present.export({ type: 'spki', format: 'der' })) === record.spkiSha256;
  const input = keyChangeInput(record.hostId, nextSpki);
  if (!isPinned || !verify('sha256', input, { key: present, dsaEncoding: 'ieee-p1363' }, presentKeySignature))
    throw new NestError(
      'PROOF_INVALID',
      'The key that was approved has not signed for the new one. Nothing was changed; look into the log of the agent.',
    );
  return hashOf(nextSpki);
};

const spkiOf = (certificate: X509Certificate): Uint8Array => certificate.publicKey.export({ type: 'spki', format: 'der' });
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
