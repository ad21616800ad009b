import type { Engine, EngineProbe, Fastpath, UserInterface, UserService } from '../../engine/api.ts';
import type { RaiseWarning } from '../../control/revisions/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { EngineName } from './api.ts';
import type { Attachments } from './attachments.ts';
import type { AttachedLink } from './interface-watch.ts';

export interface UserEnginesOptions {
  /** Absent: this agent runs none. */
  readonly fastpath: Fastpath | undefined;
  readonly choiceOf: (name: string) => EngineName;
  /** Names that the program would be attached to. */
  readonly names: () => Promise<readonly string[]>;
  readonly attachments: () => Attachments;
  readonly raise: RaiseWarning;
  readonly log: Logger;
}

/** Engines beside the kernel, as far as this domain goes: which interfaces they get, and what is attached when they fail. */
export interface UserEngines {
  /** The probes of the kernel's engine with theirs in place of what it says of them. */
  probes(ofKernel: readonly EngineProbe[]): Promise<readonly EngineProbe[]>;
  /** One engine of the kernel's and theirs. */
  join(engine: Engine): Engine;
  /** Gives and takes interfaces by choice, then attaches the program where it belongs. */
  align(): Promise<void>;
  holds(name: string): boolean;
  links(): readonly AttachedLink[];
  service(name: string): UserService | null;
  /** Interfaces that they hold now, by name, with the engine; empty while the kernel judges in its place. */
  serving(): ReadonlyMap<string, string>;
  /** These tables were in force already. */
  provide(image: Uint8Array, states: Uint8Array): Promise<void>;
  forgive(name: string): void;
  close(): Promise<void>;
}

/** Nothing runs before `join`. */
export const createUserEngines = ({ fastpath, choiceOf, names, attachments, raise, log }: UserEnginesOptions): UserEngines => {
  let isJoined = false;
  const wanted = async (): Promise<readonly UserInterface[]> =>
    (await names()).flatMap((name) => {
      const engine = choiceOf(name);
      return engine === 'af_xdp' || engine === 'dpdk' ? [{ name, engine }] : [];
    });
  const warn = async (): Promise<void> => {
    const failing = (await wanted()).flatMap(({ name }) => {
      const service = fastpath?.service(name);
      return service === null || service === undefined || service.state === 'serving' ? [] : [`${name}: ${service.reason}`];
    });
    const message = failing.join(' ');
    raise(
      'ENGINE_FALLBACK',
      failing.length === 0 ? null : { title: 'An interface is not served by its engine', message, severity: 'warning' },
    );
  };
  const follow = async (): Promise<void> => {
    // The one under way may have looked before the change.
    await attachments().refresh();
    await attachments().refresh();
    await warn();
  };
  return {
    probes: async (ofKernel) => {
      const own = (await fastpath?.probes()) ?? [];
      return [...ofKernel.filter(({ engine }) => !own.some((probe) => probe.engine === engine)), ...own];
    },
    join: (engine) => {
      isJoined = fastpath !== undefined;
      return (
        fastpath?.join(engine, {
          onChange: () => void follow().catch((error: unknown) => log.warn('attachments do not follow the engines', { error })),
        }) ?? engine
      );
    },
    align: async () => {
      if (fastpath !== undefined && isJoined) {
        await fastpath.want(await wanted());
        await warn();
      }
      await attachments().refresh();
    },
    holds: (name) => isJoined && fastpath?.holds(name) === true,
    links: () => (isJoined ? (fastpath?.links() ?? []) : []),
    serving: () =>
      new Map(
        (isJoined ? (fastpath?.links() ?? []) : []).map(({ name }) => {
          const service = fastpath?.service(name);
          return [name, service?.state === 'serving' ? service.engine : ''];
        }),
      ),
    service: (name) => (isJoined ? (fastpath?.service(name) ?? null) : null),
    provide: async (image, states) => await fastpath?.provide(image, states),
    forgive: (name) => fastpath?.forgive(name),
    close: async () => await fastpath?.close(),
  };
};
