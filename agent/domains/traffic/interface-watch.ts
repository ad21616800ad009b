import type { Engine, InterfaceFacts } from '../../engine/api.ts';

/** What the kernel calls the ability to take packets that a program sends. */
const transmitFeature = 'ndo-xmit';

export interface AttachedLink {
  readonly name: string;
  readonly index: number;
}

/** Keeps the data path informed of the interfaces it is attached to: addresses for masquerade, and where packets may be sent. */
export interface InterfaceWatch {
  /** Looks again; one interface that cannot be read does not hinder the others. Raises ENGINE_FAILED. */
  refresh(engine: Engine, links: readonly AttachedLink[]): Promise<void>;
  /** As of the last look; undefined for an interface that is not attached or could not be read. */
  facts(name: string): InterfaceFacts | undefined;
}

/** A watch that has not looked yet. */
export const createInterfaceWatch = (): InterfaceWatch => {
  let known = new Map<string, InterfaceFacts>();
  return {
    refresh: async (engine, links) => {
      const found = await Promise.allSettled(links.map(async ({ name }) => [name, await engine.interfaceFacts(name)] as const));
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
