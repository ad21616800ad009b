import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { AttachMode, Engine } from '../../engine/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { NetworkInterface } from './network-interfaces.ts';

export interface AttachmentsOptions {
  /** null: observe only. */
  readonly engine: Engine | null;
  /** Why nothing is attached, when there is no engine. */
  readonly observeReason: string;
  /** "auto": all that are up, but loopback and VLANs (their packets are seen on the interface below). */
  readonly wanted: 'auto' | readonly string[];
  /** Interfaces that an operator has switched off, and those that another engine serves. */
  readonly isOff?: (name: string) => boolean;
  readonly list: () => Promise<readonly NetworkInterface[]>;
  readonly log: Logger;
}

export interface Attachment {
  readonly name: string;
  readonly mode: AttachMode | null;
  /** Why it is not attached and what to do; empty when it is. */
  readonly problem: string;
}

/** Keeps the program on the wanted interfaces, also on ones that come later or come back. A foreign program is never replaced. */
export interface Attachments {
  /** Attaches what is missing; failures become problems. One at a time: a call during another waits for that one. */
  refresh(): Promise<void>;
  status(): readonly Attachment[];
  /** Name by interface index, also of interfaces that are not attached; "#7" when it is not known. */
  nameOf(index: number): string;
}

/** Attachments without any yet: call `refresh`. */
export const createAttachments = (options: AttachmentsOptions): Attachments => {
  let attachments: readonly Attachment[] = [];
  const names = new Map<number, string>();
  let running: Promise<void> | null = null;
  const refresh = async (): Promise<void> => {
    const present = await options.list();
    for (const { index, name } of present) names.set(index, name);
    const before = new Map(attachments.map(({ name, problem }) => [name, problem]));
    attachments = await attachAll(options, present);
    for (const { name, mode, problem } of attachments) {
      if (before.get(name) === problem) continue;
      if (problem === '') options.log.info('attached', { interface: name, mode });
      else if (options.engine !== null) options.log.warn('not attached', { interface: name, problem });
    }
  };
  return {
    status: () => attachments,
    nameOf: (index) => names.get(index) ?? `#${String(index)}`,
    refresh: async () => {
      running ??= refresh().finally(() => void (running = null));
      await running;
    },
  };
};

/** Names of interfaces that are to be served. */
export const wantedNames = (wanted: 'auto' | readonly string[], present: readonly NetworkInterface[]): readonly string[] =>
  wanted === 'auto' ? present.filter(({ isUp, isLoopback, isVlan }) => isUp && !isLoopback && !isVlan).map(({ name }) => name) : wanted;

const attachAll = async (options: AttachmentsOptions, present: readonly NetworkInterface[]): Promise<readonly Attachment[]> => {
  const wanted = wantedNames(options.wanted, present);
  const { engine, isOff = () => false } = options;
  if (engine === null) return wanted.map((name) => ({ name, mode: null, problem: options.observeReason }));
  await detachStale(engine, options, present);
  const attachments: Attachment[] = [];
  for (const name of wanted) attachments.push(isOff(name) ? { name, mode: null, problem: '' } : await attach(engine, name, present));
  const kept = options.wanted === 'auto' ? engine.state().interfaces.filter(({ name }) => !wanted.includes(name)) : [];
  return [...attachments, ...kept.map(({ name, mode }) => ({ name, mode, problem: '' }))];
};

/** A link of an interface that is gone, that came back as another one, or that is not wanted any more frees its place. */
const detachStale = async (engine: Engine, options: AttachmentsOptions, present: readonly NetworkInterface[]): Promise<void> => {
  for (const { name, index } of engine.state().interfaces) {
    const isThere = present.some((entry) => entry.name === name && entry.index === index);
    const isWanted = options.wanted === 'auto' || options.wanted.includes(name);
    if (isThere && isWanted && options.isOff?.(name) !== true) continue;
    try {
      await engine.detach(name);
    } catch (error) {
      options.log.warn('cannot detach', { interface: name, error });
    }
  }
};

const attach = async (engine: Engine, name: string, present: readonly NetworkInterface[]): Promise<Attachment> => {
  const there = present.find((entry) => entry.name === name);
  if (there === undefined) return { name, mode: null, problem: `There is no interface ${name}. It is attached when it appears.` };
  const known = engine.state().interfaces.find((entry) => entry.name === name && entry.index === there.index);
  if (known !== undefined) return { name, mode: known.mode, problem: '' };
  try {
    const { mode } = await engine.attach(name);
    return { name, mode, problem: '' };
  } catch (error) {
    const problem =
      errorCodeOf(error) === 'INTERNAL'
        ? `Attaching to ${name} failed. Look into the agent's log for the cause.`
        : toErrorShape(error).message;
    return { name, mode: null, problem };
  }
};
