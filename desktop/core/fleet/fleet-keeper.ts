/** Creates, unlocks and locks the fleet, and says in which state the console is. */
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { ConsoleState } from '../../bridge/model.ts';
import { createGate, createLatest, ulidOf } from '../../lib/api.ts';
import type { Clock, Latest, RandomBytes } from '../../lib/api.ts';
import { createOwnerKey } from '../access/owner-key.ts';
import { createFleetKeys, operatorEndsAt, refreshFleetKeys } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { revocationSchema } from '../authority/revocation-list.ts';
import { rootChangeSchema } from '../authority/root-change-record.ts';
import { ssoBindingSchema } from '../sso/sso-binding.ts';
import type { CredentialVault, VaultHeader, VaultProbe } from '../vault/credential-vault.ts';
import { newSeal } from '../vault/sealed-value.ts';
import type { FleetSession, OwnKeys } from './fleet-session.ts';

const pemPair = z.strictObject({ certificate: z.string(), privateKey: z.string() });
const authority = z.strictObject({ certificate: z.string(), privateKey: z.nullable(z.string()) });
const keysSchema = z.strictObject({
  fleetId: z.string(),
  fleetName: z.string(),
  operatorName: z.string(),
  root: authority,
  operator: pemPair,
  owner: z.string().optional(),
  authorities: z.optional(z.strictObject({ agents: authority, operators: authority })),
  revocation: z.optional(revocationSchema),
  seal: z.string().optional(),
  license: z.string().optional(),
  sso: z.optional(ssoBindingSchema),
  devices: z.optional(
    z.array(
      z.strictObject({
        name: z.string(),
        serial: z.string(),
        fingerprint: z.string(),
        endsAt: z.number(),
        rootSha256: z.optional(z.string()),
      }),
    ),
  ),
  rootChange: z.optional(rootChangeSchema),
});

/** How the keys are to be kept. */
export interface VaultChoice {
  readonly storage: 'keychain' | 'passphrase';
  readonly passphrase: string | undefined;
}

export interface FleetKeeperOptions {
  readonly vaults: readonly CredentialVault[];
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly version: string;
  readonly hostCount: () => number;
  /** Whether whoever opened the vault may come in; `excuse` is why there was no sign-in. Raises SIGN_IN_REQUIRED. */
  readonly admit?: (keys: FleetKeys, excuse: string | undefined, signal: AbortSignal) => Promise<void>;
  readonly openSession: (keys: FleetKeys, own: OwnKeys) => FleetSession;
}

export class FleetKeeper {
  readonly #options: FleetKeeperOptions;
  readonly #changes: Latest<number> = createLatest(0);
  /** Creating, unlocking and locking never overlap. */
  readonly #oneByOne = createGate({ inFlightMax: 1, waitingMax: 16 });
  #session: FleetSession | null = null;
  #keychain: Promise<VaultProbe> | null = null;
  readonly #closing = new AbortController();

  constructor(options: FleetKeeperOptions) {
    this.#options = options;
  }

  /** Counts up when the state may have changed. */
  get changes(): Latest<number> {
    return this.#changes;
  }

  /** The open session. Raises FLEET_MISSING, FLEET_LOCKED. */
  async session(): Promise<FleetSession> {
    if (this.#session !== null) return this.#session;
    if ((await this.#stored()) === null) throw new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.');
    throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
  }

  /** Null while there is no session. */
  openKeys(): Promise<FleetKeys | null> {
    return Promise.resolve(this.#session?.keys ?? null);
  }

  async state(): Promise<ConsoleState> {
    const [stored, keychain] = await Promise.all([this.#stored(), this.#probe()]);
    const header = stored?.header ?? null;
    return {
      phase: header === null ? 'empty' : this.#session === null ? 'locked' : 'open',
      fleetName: header?.fleetName ?? null,
      fleetId: header?.fleetId ?? null,
      operatorName: header?.operatorName ?? null,
      storage: stored?.vault.storage ?? null,
      keychain,
      version: this.#options.version,
      hostCount: this.#options.hostCount(),
      operatorCertificateEndsAt: header?.operatorCertificateEndsAt ?? null,
    };
  }

  /** Raises FLEET_EXISTS, PASSPHRASE_WEAK, VAULT_UNAVAILABLE. */
  create(
    request: {
      readonly fleetName: string;
      readonly operatorName: string;
      readonly storage: 'keychain' | 'passphrase';
      readonly passphrase: string | undefined;
    },
    signal: AbortSignal,
  ): Promise<ConsoleState> {
    const { clock, random } = this.#options;
    const make = async (): Promise<FleetKeys> => {
      const fleetId = ulidOf(clock.now(), random).toLowerCase();
      const names = { fleetId, fleetName: request.fleetName, operatorName: request.operatorName };
      return { ...(await createFleetKeys(names, { now: clock.now(), random })), owner: createOwnerKey() };
    };
    return this.#establish(make, request, signal);
  }

  /** Takes the keys of a fleet that admitted this device. Raises FLEET_EXISTS, PASSPHRASE_WEAK, VAULT_UNAVAILABLE. */
  adopt(keys: FleetKeys, request: VaultChoice, signal: AbortSignal): Promise<ConsoleState> {
    return this.#establish(() => Promise.resolve(keys), request, signal);
  }

  #establish(make: () => Promise<FleetKeys>, request: VaultChoice, signal: AbortSignal): Promise<ConsoleState> {
    return this.#oneByOne.run(async () => {
      if ((await this.#stored()) !== null)
        throw new NestError('FLEET_EXISTS', 'This data folder holds a fleet already. Unlock it, or choose another folder.');
      const vault = this.#options.vaults.find(({ storage }) => storage === request.storage);
      const probe = await vault?.probe(signal);
      if (vault === undefined || probe?.available !== true)
        throw new NestError('VAULT_UNAVAILABLE', probe?.reason ?? 'Keys cannot be kept that way here. Choose the other way.');
      const keys = this.#sealed(await make());
      await vault.create({ header: headerOf(keys), secret: encodeKeys(keys), passphrase: request.passphrase });
      this.#open(keys, keys.owner !== undefined);
      return this.state();
    }, signal);
  }

  /** Raises FLEET_MISSING, PASSPHRASE_WRONG, LIMIT_REACHED, VAULT_UNAVAILABLE, STATE_CORRUPT, SIGN_IN_REQUIRED. Renews certificates that are due and gives old fleets their issuing authorities. */
  unlock(passphrase: string | undefined, signal: AbortSignal, excuse?: string): Promise<ConsoleState> {
    return this.#oneByOne.run(async () => {
      const { clock, random } = this.#options;
      const stored = await this.#stored();
      if (stored === null) throw new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.');
      if (this.#session === null) {
        const kept = decodeKeys(await stored.vault.open(passphrase));
        await this.#admit(stored.vault, kept, { excuse, signal });
        const refreshed = this.#sealed(await refreshFleetKeys(kept, { now: clock.now(), random }));
        // From before there were access bundles: whoever has the root's key becomes their first owner.
        const isFounder = kept.owner === undefined && kept.authorities === undefined && refreshed.root.privateKey !== null;
        const keys = isFounder ? { ...refreshed, owner: createOwnerKey() } : refreshed;
        if (keys !== kept) await stored.vault.replace(headerOf(keys), encodeKeys(keys));
        this.#open(keys, isFounder);
      }
      return this.state();
    }, signal);
  }

  /** A fresh owner key in the place of the old one, for a new epoch of the access bundle. Raises FLEET_MISSING, FLEET_LOCKED. */
  replaceOwnerKey(signal: AbortSignal): Promise<void> {
    return this.#renewOwnerKey(() => true, signal);
  }

  /** An owner key for a console that has none; it counts for nothing until an owner adds it. Raises FLEET_MISSING, FLEET_LOCKED. */
  ensureOwnerKey(signal: AbortSignal): Promise<void> {
    return this.#renewOwnerKey(({ owner }) => owner === undefined, signal);
  }

  #renewOwnerKey(isDue: (keys: FleetKeys) => boolean, signal: AbortSignal): Promise<void> {
    return this.#oneByOne.run(async () => {
      const { keys } = await this.session();
      const stored = await this.#stored();
      if (stored === null) throw new NestError('FLEET_MISSING', 'There is no fleet yet. Create one first.');
      const present = await latest(stored.vault, keys);
      if (!isDue(present)) return;
      const renewed = { ...present, owner: createOwnerKey() };
      await stored.vault.replace(headerOf(renewed), encodeKeys(renewed));
      const session = this.#session;
      this.#session = null;
      await session?.close();
      this.#open(renewed);
    }, signal);
  }

  /** Changes the keys of the open fleet, in the vault first. Raises FLEET_MISSING, FLEET_LOCKED and what `change` raises. */
  update(change: (keys: FleetKeys) => Promise<FleetKeys>, signal: AbortSignal): Promise<FleetKeys> {
    return this.#oneByOne.run(async () => {
      const session = await this.session();
      const stored = await this.#stored();
      if (stored === null) return session.keys;
      const present = await latest(stored.vault, session.keys);
      const keys = await change(present);
      if (keys === session.keys) return session.keys;
      if (keys !== present) await stored.vault.replace(headerOf(keys), encodeKeys(keys));
      session.setKeys(keys);
      this.#touch();
      return keys;
    }, signal);
  }

  /** Forgets the keys and disconnects; what is cached stays readable. */
  lock(signal: AbortSignal): Promise<ConsoleState> {
    return this.#oneByOne.run(async () => {
      await this.#shut();
      return this.state();
    }, signal);
  }

  /** Locks for good. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#shut();
    this.#changes.close();
  }

  /** A vault whose opener may not come in is closed again. */
  async #admit(
    vault: CredentialVault,
    keys: FleetKeys,
    { excuse, signal }: { readonly excuse: string | undefined; readonly signal: AbortSignal },
  ): Promise<void> {
    try {
      await this.#options.admit?.(keys, excuse, signal);
    } catch (error) {
      vault.close();
      throw error;
    }
  }

  #sealed(keys: FleetKeys): FleetKeys {
    return keys.seal === undefined ? { ...keys, seal: newSeal(this.#options.random) } : keys;
  }

  async #shut(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
    for (const vault of this.#options.vaults) vault.close();
    this.#touch();
  }

  #open(keys: FleetKeys, isOwnerNew = false): void {
    const { clock, random } = this.#options;
    const refresh = (present: FleetKeys): Promise<FleetKeys> => refreshFleetKeys(present, { now: clock.now(), random });
    const updateKeys: OwnKeys['updateKeys'] = async (change, signal) => void (await this.update(change, signal));
    this.#session = this.#options.openSession(keys, { updateKeys, refreshOwn: (signal) => updateKeys(refresh, signal) });
    this.#session.access.begin(isOwnerNew);
    this.#touch();
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1);
  }

  async #stored(): Promise<{ readonly vault: CredentialVault; readonly header: VaultHeader } | null> {
    for (const vault of this.#options.vaults) {
      const header = await vault.header();
      if (header !== null) return { vault, header };
    }
    return null;
  }

  /** Asked once: the answer of a keychain does not change while the console runs, but asking may open a dialogue. */
  #probe(): Promise<VaultProbe> {
    const vault = this.#options.vaults.find(({ storage }) => storage === 'keychain');
    this.#keychain ??=
      vault === undefined
        ? Promise.resolve({ available: false, reason: 'This console keeps no keys in a keychain.' })
        : vault.probe(this.#closing.signal);
    return this.#keychain;
  }
}

/** What another process of this console has made of the keys; the same object when it has made nothing. */
const latest = async (vault: CredentialVault, known: FleetKeys): Promise<FleetKeys> => {
  const secret = await vault.reread();
  return Buffer.from(encodeKeys(known)).equals(secret) ? known : decodeKeys(secret);
};

const headerOf = (keys: FleetKeys): VaultHeader => ({
  fleetId: keys.fleetId,
  fleetName: keys.fleetName,
  operatorName: keys.operatorName,
  operatorCertificateEndsAt: operatorEndsAt(keys),
});

const encodeKeys = (keys: FleetKeys): Uint8Array => new TextEncoder().encode(JSON.stringify(keys));

const decodeKeys = (secret: Uint8Array): FleetKeys => {
  try {
    return keysSchema.parse(JSON.parse(new TextDecoder().decode(secret)));
  } catch (error) {
    throw new NestError('STATE_CORRUPT', 'What the vault holds is not the keys of a fleet. Restore vault.json from a backup.', {
      cause: error,
    });
  }
};
