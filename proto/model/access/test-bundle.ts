/** A fleet's owners for tests: keys, a beginning, and updates as an owner's console would sign them. */
import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { keyIdOf } from '../envelope.ts';
import type { EnvelopeSigner } from '../envelope.ts';
import { AccessBody } from '../../gen/nest/v1/access.ts';
import type { AccessDelta } from '../../gen/nest/v1/access.ts';
import { applyDelta, hashOf } from './body.ts';
import { sealUpdate } from './update.ts';
import type { SignedEnvelope } from './update.ts';

export interface TestOwner {
  readonly subject: string;
  readonly signer: EnvelopeSigner;
  readonly entry: AccessBody['owners'][number];
}

export const signerOf = (keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): EnvelopeSigner => ({
  ...keys,
  certificateChain: [],
});

/** A fresh Ed25519 key of an operator. */
export const makeOwner = (subject: string): TestOwner => {
  const signer = signerOf(generateKeyPairSync('ed25519'));
  const publicKey = signer.publicKey.export({ type: 'spki', format: 'der' });
  return { subject, signer, entry: { subject, publicKey, keyId: keyIdOf(signer.publicKey).toString('hex') } };
};

/** A body with these owners, all of them admins everywhere. */
export const bodyOf = (owners: readonly TestOwner[], rest: Partial<AccessBody> = {}): AccessBody => {
  const subjects = [...new Set(owners.map(({ subject }) => subject))];
  return AccessBody.fromPartial({
    ...rest,
    ownerThreshold: rest.ownerThreshold ?? 1,
    owners: owners.map(({ entry }) => entry),
    operators: [...subjects.map((subject) => ({ subject, title: '' })), ...(rest.operators ?? [])],
    bindings: [...subjects.map((subject) => ({ id: `owner-${subject}`, subject, role: 'admin', level: '*' })), ...(rest.bindings ?? [])],
  });
};

export interface TestStep {
  readonly body: AccessBody;
  readonly delta?: AccessDelta;
  readonly by: readonly EnvelopeSigner[];
  readonly author: string;
  readonly epoch?: number;
  readonly revision: number;
  readonly previous: readonly SignedEnvelope[];
  readonly atMs: number;
  readonly lifeMs?: number;
}

/** One update with everything explicit, so that a test can lie about any of it. */
export const stepOf = (fleetId: string, { previous, atMs, by, epoch = 1, ...rest }: TestStep): SignedEnvelope =>
  sealUpdate({ ...rest, fleetId, epoch, issuedAtMs: atMs, previous: previous.map(({ payload }) => hashOf(payload).toString('hex')) }, by);

/** One owner who signs alone, step after step. */
export class TestBundle {
  readonly fleetId: string;
  readonly owner: TestOwner;
  readonly epoch: number;
  readonly updates: SignedEnvelope[] = [];
  body: AccessBody;
  readonly #atMs: number;

  constructor(
    fleet: { readonly fleetId: string; readonly root: EnvelopeSigner },
    options: { readonly owner?: TestOwner; readonly body?: Partial<AccessBody>; readonly atMs?: number; readonly epoch?: number } = {},
  ) {
    this.fleetId = fleet.fleetId;
    this.epoch = options.epoch ?? 1;
    this.owner = options.owner ?? makeOwner('operator/ada');
    this.#atMs = options.atMs ?? Date.now();
    this.body = bodyOf([this.owner], options.body);
    this.updates.push(
      stepOf(this.fleetId, {
        body: this.body,
        by: [fleet.root, this.owner.signer],
        author: this.owner.subject,
        epoch: this.epoch,
        revision: 1,
        previous: [],
        atMs: this.#atMs,
      }),
    );
  }

  get head(): SignedEnvelope {
    return this.updates.at(-1) as SignedEnvelope;
  }

  /** Appends a delta; returns what is to be delivered. */
  change(delta: Partial<AccessDelta>, options: { readonly atMs?: number; readonly lifeMs?: number } = {}): SignedEnvelope {
    const whole = deltaOf(delta);
    this.body = applyDelta(this.body, whole);
    const envelope = stepOf(this.fleetId, { ...this.#next(), body: this.body, delta: whole, ...options });
    this.updates.push(envelope);
    return envelope;
  }

  /** Appends a whole body. */
  replace(body: AccessBody, by: readonly EnvelopeSigner[] = [this.owner.signer]): SignedEnvelope {
    this.body = body;
    const envelope = stepOf(this.fleetId, { ...this.#next(), body, by });
    this.updates.push(envelope);
    return envelope;
  }

  #next(): Omit<TestStep, 'body'> {
    return {
      by: [this.owner.signer],
      author: this.owner.subject,
      epoch: this.epoch,
      revision: this.updates.length + 1,
      previous: [this.head],
      atMs: this.#atMs + this.updates.length,
    };
  }
}

export const deltaOf = (delta: Partial<AccessDelta>): AccessDelta => ({
  put: undefined,
  removeRoles: [],
  removeOperators: [],
  removeClients: [],
  removeClusters: [],
  removeBindings: [],
  removeLocks: [],
  ...delta,
});

/** Only what a test names. */
export const put = (body: Partial<AccessBody>): Partial<AccessDelta> => ({ put: AccessBody.fromPartial(body) });
