import type { Engine, InterfaceFacts } from '../../engine/api.ts';
import type { VirtualFunctions } from './interface-functions.ts';

/** What the kernel calls the ability to take packets that a program sends. */
const transmitFeature = 'ndo-xmit';

export interface AttachedLink {
  readonly name: string;
  readonly index: number;
}

/** What is known of an interface that the data path is attached to. */
export interface WatchedFacts extends InterfaceFacts {
  /** null: its device has none. */
  readonly virtualFunctions: VirtualFunctions | null;
}

/** Keeps the data path informed of the interfaces it is attached to: addresses for masquerade, and where packets may be sent. */
export interface InterfaceWatch {
  /** Looks again; one interface that cannot be read does not hinder the others. Raises ENGINE_FAILED. */
  refresh(engine: Engine, links: readonly AttachedLink[]): Promise<void>;
  /** As of the last look; undefined for an interface that is not attached or could not be read. */
  facts(name: string): WatchedFacts | undefined;
}

/** A watch that has not looked yet. `functionsOf`: virtual functions of an interface by its name; null: none. */
export const createInterfaceWatch = (functionsOf: (name: string) => Promise<VirtualFunctions | null>): InterfaceWatch => {
  let known = new Map<string, WatchedFacts>();
  return {
    refresh: async (engine, links) => {
      const found = await Promise.allSettled(
        links.map(async ({ name }) => {
          const [facts, virtualFunctions] = await Promise.all([engine.interfaceFacts(name), functionsOf(name)]);
          return [name, { ...facts, virtualFunctions }] as const;
        }),
      );
      known = new Map(found.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])));
      const readable = links.flatMap(({ name, index }) => {
        const facts = known.get(name);
        return facts === undefined ? [] : [{ index, facts }];
      });
      await engine.setInterfaceAddresses(
        readable.map(({ index, facts }) => ({ index, address4: facts.addresses4[0] ?? null, address6: facts.addresses6[0] ?? null })),
      );
      await engine.setTransmitPorts(
        readable.filter(({ facts }) => facts.xdpFeatures?.includes(transmitFeature) === true).map(({ index }) => index),
      );
    },
    facts: (name) => known.get(name),
  };
};
