/** Who may do what, as the bridge asks for it. Every answer needs the unlocked fleet. */
import { NestError } from '../../../proto/model/error.ts';
import { requireScope } from '../../../proto/model/access/scope.ts';
import { missingBundleText } from '../../bridge/access-missing.ts';
import type { AccessChangeResult, AccessOwnKey, AccessView } from '../../bridge/access-model.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import { followAny } from '../../lib/api.ts';
import type { FleetSession } from '../fleet/fleet-session.ts';
import { issueClient } from '../authority/fleet-authority.ts';
import { trustedRoots } from '../authority/root-change-record.ts';
import { describeCertificate } from '../certificate/certificate-rows.ts';
import { noteClientCertificate } from '../certificate/client-certificates.ts';
import type { HandlerContext } from '../handler-context.ts';
import { accessViewOf, checkAccess } from './access-view.ts';

/** A page is told so often at most what a thousand hosts answer one by one, milliseconds. */
const viewEveryMs = 200;

type Handled = Extract<keyof BridgeHandlers, `access.${string}`>;

export const accessHandlers = ({ keeper, cache, clock, random }: HandlerContext): Pick<BridgeHandlers, Handled> => {
  const viewOf = ({ access }: FleetSession): AccessView => accessViewOf(access.book, access.sync.states(), clock.now());
  const open = async (): Promise<FleetSession> => keeper.session();
  const answer = (session: FleetSession, clientKey: string | null = null): AccessChangeResult => ({ view: viewOf(session), clientKey });
  return {
    'access.get': async () => viewOf(await open()),
    'access.watch': async function* (_input, signal) {
      const session = await open();
      const { book, sync } = session.access;
      let last = '';
      const stop = new AbortController();
      const ended = AbortSignal.any([signal, stop.signal]);
      try {
        for await (const _change of followAny([book.changes, sync.changes], ended)) {
          const view = viewOf(session);
          const text = JSON.stringify(view);
          if (text !== last) yield view;
          last = text;
          await clock.sleep(viewEveryMs, ended).catch(() => undefined);
        }
      } finally {
        stop.abort();
      }
    },
    'access.change': async ({ change }, signal) => {
      // Whoever stole the old key must not be able to go on with it.
      if (change.kind === 'epoch') await keeper.replaceOwnerKey(signal);
      const session = await open();
      const { book, sync } = session.access;
      const isBeginning = change.kind === 'begin' || change.kind === 'epoch';
      if (!isBeginning && book.chain.body === null) throw new NestError('ACCESS_INVALID', missingBundleText(sync.states()));
      const { clientKey } = book.change(change);
      return answer(session, clientKey);
    },
    'access.merge': async ({ keep }, signal) => {
      const session = await open();
      const { book, sync } = session.access;
      book.merge(keep, await sync.otherSides(signal));
      return answer(session);
    },
    'access.cosign': async ({ proposal }) => {
      const session = await open();
      session.access.book.cosign(proposal);
      return answer(session);
    },
    'access.push': async (_input, signal) => {
      const session = await open();
      await session.access.sync.syncAll(signal);
      return viewOf(session);
    },
    'access.key': async (_input, signal) => {
      await keeper.ensureOwnerKey(signal);
      return ownKeyOf(await open());
    },
    'access.client.certificate': async ({ subject }) => {
      const { keys, access } = await open();
      if (access.book.chain.body?.clients.some((client) => client.subject === subject) !== true)
        throw new NestError('NOT_FOUND', `There is no ${subject}. Add it first.`);
      const issued = await issueClient(keys, subject, { now: clock.now(), random });
      const { serial, fingerprint, endsAt } = describeCertificate(issued.certificate);
      noteClientCertificate(cache, { subject, serial, fingerprint, endsAt }, clock.now());
      return { ...issued, fleetRoot: trustedRoots(keys) };
    },
    'access.check': async (question) => {
      requireScope(question.scope);
      const session = await open();
      return checkAccess(session.access.book, question, clock.now());
    },
  };
};

const ownKeyOf = ({ access: { book } }: FleetSession): AccessOwnKey => {
  if (book.publicKey === null) throw new NestError('FLEET_LOCKED', 'The fleet was locked meanwhile. Unlock it, then try again.');
  return { subject: book.subject, keyId: book.publicKey.keyId, publicKey: book.publicKey.text };
};
