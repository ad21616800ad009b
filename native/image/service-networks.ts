/** The networks of named services, parsed only when somebody asks: most checks need the names alone. */
import { isWithin, parsePrefix } from './address.ts';
import type { Address, Prefix } from './address.ts';
import { listIn, textIn } from './document-fields.ts';
import { anyName } from './schema-checks.ts';

export class ServiceNetworks {
  readonly #services = new Map<string, unknown>();
  readonly #networks = new Map<string, readonly Prefix[]>();

  /** Services of a document of any shape; what is malformed is left out. */
  constructor(services: readonly unknown[]) {
    for (const service of services) {
      const name = textIn(service, 'name');
      if (name !== undefined && !this.#services.has(name)) this.#services.set(name, service);
    }
  }

  has(name: string): boolean {
    return this.#services.has(name);
  }

  names(): Iterable<string> {
    return this.#services.keys();
  }

  /** True when "any" or one of the services has an address of the family. Unknown services count as having it. */
  hasFamily(names: readonly string[], family: 4 | 6): boolean {
    return names.some((name) => name === anyName || !this.has(name) || this.#networksOf(name).some((prefix) => prefix.family === family));
  }

  /** True when one of the named services holds the address; "any" does not count. */
  holds(names: readonly string[], address: Address): boolean {
    const host: Prefix = { ...address, length: address.family === 4 ? 32 : 128 };
    return names.some((name) => this.#networksOf(name).some((prefix) => isWithin(host, prefix)));
  }

  #networksOf(name: string): readonly Prefix[] {
    let networks = this.#networks.get(name);
    if (networks === undefined) {
      networks = listIn(this.#services.get(name), 'addresses').flatMap((text) => {
        const prefix = typeof text === 'string' ? parsePrefix(text) : undefined;
        return prefix === undefined ? [] : [prefix];
      });
      this.#networks.set(name, networks);
    }
    return networks;
  }
}
