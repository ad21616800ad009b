import type { Engine, EngineNextHop, NextHopWanted, Policy } from '../../../engine/api.ts';
import { addressToBytes, networkOf, parsePrefix } from '../../../engine/api.ts';
import type { RaiseWarning } from '../../../control/revisions/api.ts';
import type { Logger } from '../../../lib/log.ts';
import { backendPlaces } from './backend-places.ts';

/** Asked for in one look; what is beyond has its turn at the next. */
export const nextHopsPerLook = 1024;
/** Backends named in the warning. */
const namesMax = 5;
/** Looks in a row without an answer, before it is told: the kernel asks for about three seconds. */
const looksMax = 2;

/** Towards "any": no network of a host holds these, so that they take its default route. */
const anywhere = ['192.0.2.1/32', '2001:db8::1/128'];

export interface NextHopAim {
  /** "mapping/backend"; empty for a network that traffic comes from or goes to. */
  readonly backend: string;
  readonly wanted: NextHopWanted;
}

/**
 * What the data path sends to without the kernel, and what the kernel would therefore never ask for by itself: the backends of DSR and full
 * NAT, and the gateways towards the networks of mappings that give packets an address of this host.
 */
export const nextHopAims = (policy: Policy): readonly NextHopAim[] => {
  const aims = new Map<string, NextHopAim>();
  const aim = (text: string, backend = ''): void => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) return;
    const isHost = prefix.length === (prefix.family === 4 ? 32 : 128) && !anywhere.includes(text);
    const key = `${text} ${backend}`;
    aims.set(key, { backend, wanted: { address: addressToBytes(networkOf(prefix)), isGatewayOnly: !isHost } });
  };
  for (const { mapping, backend } of backendPlaces(policy))
    if ((mapping.nat === 'dsr' || mapping.nat === 'full') && backend.state !== 'down')
      aim(backend.address, `${mapping.name}/${backend.name}`);
  const addresses = new Map(policy.services.map((service) => [service.name, service.addresses]));
  for (const { sources, destinations, sourceNat, nat } of policy.mappings) {
    if (sourceNat === undefined && nat !== 'full') continue;
    // Who sends and who answers: both ways lead out without the kernel.
    for (const name of [...sources, ...(sourceNat === undefined ? [] : destinations)])
      for (const text of name === 'any' ? anywhere : (addresses.get(name) ?? [name])) aim(text);
  }
  return [...aims.values()];
};

/** Has the kernel learn the next hops of one policy after the other, and tells of backends that have none. */
export interface NextHops {
  /** Looks at the next part of them, and does not wait for answers. Never raises. */
  look(policy: Policy | undefined, engine: Pick<Engine, 'askNextHops'>): Promise<void>;
}

/** Nothing is asked before `look`. */
export const createNextHops = ({ raise, log }: { readonly raise: RaiseWarning; readonly log: Logger }): NextHops => {
  let of: { readonly policy: Policy; readonly aims: readonly NextHopAim[] } | null = null;
  let from = 0;
  const unanswered = new Map<string, number>();
  const tell = (): void => {
    const silent = [...unanswered].filter(([, looks]) => looks > looksMax).map(([backend]) => backend);
    const more = silent.length > namesMax ? ` and ${String(silent.length - namesMax)} more` : '';
    const message = `Nobody answers for the address of ${silent.slice(0, namesMax).join(', ')}${more}, or no route leads there: packets to them cannot leave. Look whether the server runs and is on the link of this host, or add a route.`;
    raise('NEXT_HOP_UNKNOWN', silent.length === 0 ? null : { title: 'Backends have no known next hop', message, severity: 'warning' });
  };
  return {
    look: async (policy, engine) => {
      if (policy === undefined) return;
      if (of?.policy !== policy) {
        of = { policy, aims: nextHopAims(policy) };
        from = 0;
        const named = new Set(of.aims.map(({ backend }) => backend));
        for (const backend of unanswered.keys()) if (!named.has(backend)) unanswered.delete(backend);
      }
      const { aims } = of;
      const part = aims.slice(from, from + nextHopsPerLook);
      from = from + nextHopsPerLook < aims.length ? from + nextHopsPerLook : 0;
      const answers = await answersOf(
        part.map(({ wanted }) => wanted),
        engine,
        log,
      );
      for (const [index, { backend }] of part.entries()) {
        const answer = answers[index];
        if (backend === '' || answer === undefined) continue;
        if (answer === 'asked' || answer === 'noRoute') unanswered.set(backend, (unanswered.get(backend) ?? 0) + 1);
        else unanswered.delete(backend);
      }
      tell();
    },
  };
};

/** None when the kernel cannot be asked: packets then wait for somebody else who talks to the backend. */
const answersOf = async (
  wanted: readonly NextHopWanted[],
  engine: Pick<Engine, 'askNextHops'>,
  log: Logger,
): Promise<readonly EngineNextHop[]> => {
  if (wanted.length === 0) return [];
  try {
    return await engine.askNextHops(wanted);
  } catch (error) {
    log.warn('the kernel was not asked for next hops', { error });
    return [];
  }
};
