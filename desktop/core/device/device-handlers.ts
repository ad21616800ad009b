/** Admitting a second operator or device: request there, admit here, join there. No server, two files. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { certificatesIn, checkCertificatePath, clientUsage } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import { isSameKey, rootChangeOf } from '../../../proto/model/root-change.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { DeviceFile, DeviceFileContent } from '../../bridge/model.ts';
import {
  certifyOperator,
  deviceRequestOf,
  operatorChain,
  operatorSlug,
  publicKeyOf,
  rootFingerprint,
  rootSpkiHash,
} from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { derOf, pemCertificates } from '../authority/certificate-maker.ts';
import { emptyRevocation } from '../authority/revocation-list.ts';
import { adoptRootStep, admittingKeys } from '../authority/root-change.ts';
import { conductedSets, trustedRoots } from '../authority/root-change-record.ts';
import type { HandlerContext } from '../handler-context.ts';
import { openText, sealText } from '../vault/sealed-text.ts';
import { isDeviceLocked } from '../certificate/device-lock.ts';
import { fingerprintOf, makeSealingKey, openKeys, readGrant, readRequest, sealKeys, writeGrant, writeRequest } from './device-file.ts';
import type { DeviceGrant, DeviceRequest, SharedKeys } from './device-file.ts';

type Handled = Extract<keyof BridgeHandlers, `device.${string}`>;

/** Devices remembered beside this one. */
const devicesMax = 1_000;
const pendingName = 'device-pending';
const pendingLabel = 'nest device pending 1';
const pendingSchema = z.strictObject({ operatorName: z.string(), privateKey: z.string(), sealingKey: z.string() });

export const deviceHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'device.request': ({ operatorName, passphrase }) => request(context, operatorName, passphrase),
  'device.inspect': ({ file }) => inspect(file, context.clock.now()),
  'device.admit': (input, signal) => admit(context, input, signal),
  'device.join': (input, signal) => join(context, input, signal),
});

/** In a console without a fleet: a fresh key that waits under the passphrase. In an open fleet: this device's own key, to renew it. */
const request = async (context: HandlerContext, operatorName: string, passphrase: string | undefined): Promise<DeviceFile> => {
  const { keeper, cache, clock, random } = context;
  const isOpen = (await keeper.state()).phase === 'open';
  const known = isOpen ? (await keeper.session()).keys : null;
  const made = await deviceRequestOf(known?.operator.privateKey ?? null);
  const sealing = known === null ? makeSealingKey() : null;
  const name = known?.operatorName ?? operatorName;
  if (sealing !== null) {
    if ((await keeper.state()).phase !== 'empty')
      throw new NestError('FLEET_LOCKED', 'This data folder holds a fleet. Unlock it to renew this device, or choose another folder.');
    const pending = { operatorName: name, privateKey: made.privateKey, sealingKey: sealing.privateKey };
    cache.putValue(pendingName, await sealText({ label: pendingLabel, text: JSON.stringify(pending) }, passphrase ?? '', random));
  }
  const content: DeviceRequest = {
    operatorName: name,
    signingRequest: base64(made.signingRequest),
    sealingKey: sealing === null ? null : base64(sealing.publicKey),
    at: clock.now(),
  };
  const fingerprint = fingerprintOf(await publicKeyOf(made.signingRequest));
  return { fileName: `nest-request-${operatorSlug(name)}.json`, file: writeRequest(content, made.privateKey), fingerprint };
};

const inspect = async (file: string, now: number): Promise<DeviceFileContent> => {
  if (file.includes('nest.device-grant.v1')) {
    const grant = readGrant(file, now);
    const { fleetId, fleetName, operatorName, hosts, at } = grant;
    const fleet = { fleetId, fleetName, rootFingerprint: rootFingerprintOf(grant.root), hosts: hosts.length };
    return { kind: 'grant', operatorName, fingerprint: fingerprintOf(spkiOf(grant.certificate)), fleet, at };
  }
  const { operatorName, at, fingerprint } = await requestIn(file, now);
  return { kind: 'request', operatorName, fingerprint, fleet: null, at };
};

const requestIn = async (
  file: string,
  now: number,
): Promise<DeviceRequest & { readonly spki: Uint8Array; readonly fingerprint: string }> => {
  // The key is checked before the signature is: it says whose signature is wanted.
  const first = parseLoosely(file);
  const spki = await publicKeyOf(Buffer.from(first, 'base64'));
  const content = readRequest(file, () => spki, now);
  if (content.signingRequest !== first) throw new NestError('PROOF_INVALID', 'The request names two keys. Ask for it again.');
  return { ...content, spki, fingerprint: fingerprintOf(spki) };
};

/** The signing request of a file that is not believed yet. Raises INPUT_INVALID. */
const parseLoosely = (file: string): string => {
  try {
    const { payload } = z.object({ payload: z.base64() }).parse(JSON.parse(file));
    return z.object({ signingRequest: z.base64() }).parse(JSON.parse(Buffer.from(payload, 'base64').toString())).signingRequest;
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This file is neither a request nor a grant of a fleet. Choose the right file.', { cause: error });
  }
};

type AdmitInput = Parameters<BridgeHandlers['device.admit']>[0];

/** Raises IDENTITY_MISMATCH when the operator approved another key, SCOPE_MISSING without the authority for operators. */
const admit = async (context: HandlerContext, { file, fingerprint, share }: AdmitInput, signal: AbortSignal): Promise<DeviceFile> => {
  const { keeper, roster, clock, random } = context;
  const asked = await requestIn(file, clock.now());
  if (asked.fingerprint !== fingerprint)
    throw new NestError(
      'IDENTITY_MISMATCH',
      'The request is for another key than the one that was approved. Compare the fingerprints again.',
      {
        details: { presented: asked.fingerprint },
      },
    );
  const session = await keeper.session();
  const keys = admittingKeys(session.keys);
  if (isDeviceLocked(session, asked.fingerprint))
    throw new NestError('REVOKED', 'This key is locked in the access bundle. Make a request with a new key, in another data folder.');
  const { authorities } = keys;
  if (authorities === undefined)
    throw new NestError('NOT_FOUND', 'This fleet has no issuing authorities yet. Lock and unlock it once, then try again.');
  const certificate = await certifyOperator(
    keys,
    { name: asked.operatorName, signingRequest: Buffer.from(asked.signingRequest, 'base64') },
    { now: clock.now(), random },
  );
  const shared = sharedKeys(keys, share ?? 'none');
  if (shared !== null && asked.sealingKey === null)
    throw new NestError('INPUT_INVALID', 'A device that renews its certificate gets no keys of authorities. Admit it without sharing any.');
  const grant: DeviceGrant = {
    fleetId: keys.fleetId,
    fleetName: keys.fleetName,
    operatorName: asked.operatorName,
    root: keys.root.certificate,
    ...(keys.rootChange === undefined ? {} : { rootChange: keys.rootChange.statement }),
    authorities: { agents: authorities.agents.certificate, operators: authorities.operators.certificate },
    certificate,
    revocation: keys.revocation ?? emptyRevocation,
    hosts: roster.all.map(
      ({ record: { nextSpkiSha256: _next, revocationSha256: _lists, rootSha256: _root, rootStep: _step, ...record } }) => ({
        ...record,
        labels: [...record.labels],
      }),
    ),
    box: shared === null || asked.sealingKey === null ? null : sealKeys(shared, Buffer.from(asked.sealingKey, 'base64'), random),
    at: clock.now(),
  };
  const leaf = new X509Certificate(certificate);
  const device = {
    name: asked.operatorName,
    serial: leaf.serialNumber.toLowerCase(),
    fingerprint: asked.fingerprint,
    endsAt: leaf.validToDate.getTime(),
    rootSha256: rootFingerprint(keys),
  };
  await keeper.update(async (present) => {
    const others = (present.devices ?? []).filter((known) => known.endsAt > clock.now());
    return { ...present, devices: [...others, device].slice(-devicesMax) };
  }, signal);
  const signer = { privateKey: keys.operator.privateKey, chain: operatorChain(keys) };
  return {
    fileName: `nest-grant-${operatorSlug(asked.operatorName)}.json`,
    file: writeGrant(grant, signer),
    fingerprint: asked.fingerprint,
  };
};

/** Null when nothing is shared. Raises SCOPE_MISSING for a key that is not here. */
const sharedKeys = ({ authorities }: FleetKeys, share: NonNullable<AdmitInput['share']>): SharedKeys | null => {
  if (share === 'none' || authorities === undefined) return null;
  const { agents, operators } = authorities;
  if (agents.privateKey === null || (share === 'all' && operators.privateKey === null))
    throw new NestError('SCOPE_MISSING', 'This console does not hold the keys it should share. Ask an owner of the fleet.');
  return { agents: agents.privateKey, operators: share === 'all' ? operators.privateKey : null };
};

type JoinInput = Parameters<BridgeHandlers['device.join']>[0];

const join = async (context: HandlerContext, input: JoinInput, signal: AbortSignal): ReturnType<BridgeHandlers['device.join']> => {
  const { keeper, cache, clock } = context;
  const grant = readGrant(input.file, clock.now());
  if (rootFingerprintOf(grant.root) !== input.rootFingerprint)
    throw new NestError(
      'FLEET_MISMATCH',
      'The root of the fleet in the grant is another one than was approved. Compare the fingerprints again.',
    );
  const chain = pemCertificates(grant.certificate).map(derOf);
  const roots = [new X509Certificate(grant.root)];
  const { identity } = checkCertificatePath(chain, { roots, fleetId: grant.fleetId, nowMs: clock.now(), usage: clientUsage });
  if (identity.kind !== 'operator')
    throw new NestError('CERTIFICATE_INVALID', 'The grant holds no certificate of an operator. Ask for it again.');
  if ((await keeper.state()).phase === 'open') {
    await keeper.update(async (keys) => renewed(keys, grant, clock.now()), signal);
    return keeper.state();
  }
  const sealed = cache.value<unknown>(pendingName);
  if (sealed === null)
    throw new NestError(
      'NOT_FOUND',
      'No request was made in this data folder. Make one with "nest fleet request-access", and have it admitted.',
    );
  const pending = pendingSchema.parse(JSON.parse(await openText(pendingLabel, sealed, input.passphrase)));
  const keys = keysOf(grant, pending, clock.now());
  await keeper.adopt(keys, input, signal);
  cache.dropValue(pendingName);
  for (const record of grant.hosts) context.roster.add(record);
  return keeper.state();
};

/** A new certificate for the key this device has. Raises FLEET_MISMATCH, PROOF_INVALID, CERTIFICATE_INVALID. */
const renewed = (keys: FleetKeys, grant: DeviceGrant, now: number): FleetKeys => {
  const known = informed(keys, grant, now);
  const granted = new X509Certificate(grant.root);
  if (keys.fleetId !== grant.fleetId || !certificatesIn(trustedRoots(known)).some((root) => isSameKey(root, granted)))
    throw new NestError('FLEET_MISMATCH', 'The grant is of another fleet than the one that is open here.');
  if (fingerprintOf(spkiOf(grant.certificate)) !== fingerprintOf(spkiOf(keys.operator.certificate))) throw foreign();
  const isSameRoot = isSameKey(granted, new X509Certificate(known.root.certificate));
  const set = isSameRoot ? {} : setOf(grant, { agents: null, operators: null });
  return { ...known, ...set, operator: { ...keys.operator, certificate: grant.certificate }, revocation: grant.revocation };
};

/** The keys with what the grant says of a change of the root, whoever conducts it. Raises CERTIFICATE_INVALID. */
const informed = (keys: FleetKeys, { rootChange }: DeviceGrant, now: number): FleetKeys =>
  rootChange === undefined || conductedSets(keys) !== null
    ? keys
    : adoptRootStep(keys, rootChangeOf(Buffer.from(rootChange, 'base64')), now);

const setOf = ({ root, authorities }: DeviceGrant, shared: SharedKeys): Pick<FleetKeys, 'root' | 'authorities'> => ({
  root: { certificate: root, privateKey: null },
  authorities: {
    agents: { certificate: authorities.agents, privateKey: shared.agents },
    operators: { certificate: authorities.operators, privateKey: shared.operators },
  },
});

const keysOf = (grant: DeviceGrant, pending: z.output<typeof pendingSchema>, now: number): FleetKeys => {
  const shared = grant.box === null ? { agents: null, operators: null } : openKeys(grant.box, pending.sealingKey);
  if (!new X509Certificate(grant.certificate).checkPrivateKey(createPrivateKey(pending.privateKey))) throw foreign();
  const keys: FleetKeys = {
    fleetId: grant.fleetId,
    fleetName: grant.fleetName,
    operatorName: grant.operatorName,
    operator: { certificate: grant.certificate, privateKey: pending.privateKey },
    ...setOf(grant, shared),
    revocation: grant.revocation,
  };
  return informed(keys, grant, now);
};

const foreign = (): NestError =>
  new NestError('PROOF_INVALID', 'The grant is for another device than this one. Ask for a grant of the request of this one.');

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const spkiOf = (pem: string): Uint8Array => new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
const rootFingerprintOf = (certificate: string): string =>
  Buffer.from(rootSpkiHash({ root: { certificate, privateKey: null } })).toString('hex');
