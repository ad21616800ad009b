/** Services of a MarchProxy file. */
import { formatPrefix, networkOf, parsePrefix } from '../../../native/image/api.ts';
import type { PolicyService } from '../../../native/image/api.ts';
import { isSet, noteOtherFields } from './marchproxy-note.ts';
import type { ImportNote, Note } from './marchproxy-note.ts';
import { toPort } from './marchproxy-port.ts';
import { knownServiceFields, readService } from './marchproxy-shape.ts';
import type { ServiceEntry } from './marchproxy-shape.ts';
import { PolicyNames } from './policy-names.ts';

export interface ImportedServices {
  readonly list: PolicyService[];
  /** Imported services by their name or id in the file. */
  readonly byReference: Map<string, { readonly name: string; readonly port: string | undefined }>;
  /** Names and ids of those that were left out. */
  readonly leftOut: Set<string>;
}

/** Services with an address, and notes about the others. */
export const importServices = (values: readonly unknown[], notes: ImportNote[]): ImportedServices => {
  const services: ImportedServices = { list: [], byReference: new Map(), leftOut: new Set() };
  const names = new PolicyNames();
  for (const [position, value] of values.entries()) {
    const entry = readService(value);
    const shown = entry.name === '' ? `services[${String(position)}]` : entry.name;
    const note = (code: string, message: string): void => void notes.push({ kind: 'service', name: shown, code, message });
    const references = [entry.name, entry.id].filter((reference): reference is string => reference !== undefined && reference !== '');
    const address = addressOf(entry, note);
    if (address === undefined) {
      for (const reference of references) services.leftOut.add(reference);
      continue;
    }
    const name = names.take(shown);
    if (name !== entry.name)
      note('NAME_CHANGED', `It is now called ${name}: names have letters, digits, dots, dashes and underscores, and are there once.`);
    services.list.push({ name, addresses: [address] });
    for (const reference of references)
      if (!services.byReference.has(reference)) services.byReference.set(reference, { name, port: toPort(entry.port) });
    noteServiceFields(entry, note);
  }
  return services;
};

const addressOf = (entry: ServiceEntry, note: Note): string | undefined => {
  const prefix = parsePrefix(entry.address);
  if (prefix !== undefined) return formatPrefix(networkOf(prefix));
  if (entry.address === '') note('ADDRESS_MISSING', 'It has no address and was left out.');
  else if (/^[A-Za-z0-9_*-]+(?:\.[A-Za-z0-9_-]+)*\.?$/.test(entry.address)) {
    note(
      'ADDRESS_IS_NAME',
      `${entry.address.slice(0, 253)} is a host name, which a policy cannot follow yet: it was left out. Add its addresses by hand.`,
    );
  } else note('ADDRESS_INVALID', `${JSON.stringify(entry.address.slice(0, 63))} is not an address: it was left out.`);
  return undefined;
};

const noteServiceFields = (entry: ServiceEntry, note: Note): void => {
  const { fields } = entry;
  if (isSet(fields['auth_type']))
    note('AUTH_NOT_EXPRESSIBLE', 'Its authentication cannot be expressed yet: the service is reachable without it.');
  if (isSet(fields['tls_enabled']) || isSet(fields['tls_verify']))
    note('TLS_NOT_EXPRESSIBLE', 'Its TLS settings cannot be expressed yet: the policy lets the bytes through as they are.');
  if (isSet(fields['health_check_enabled']))
    note('HEALTH_CHECK_NOT_EXPRESSIBLE', 'Its health check cannot be expressed yet: nothing probes the service.');
  noteOtherFields(
    fields,
    [
      ...knownServiceFields,
      'protocol',
      'auth_type',
      'tls_enabled',
      'tls_verify',
      'health_check_enabled',
      'health_check_path',
      'health_check_interval',
    ],
    note,
  );
};
