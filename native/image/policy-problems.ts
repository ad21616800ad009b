/** What the fields of a policy document say together: every contradiction, with its path, a stable code and the next step. */
import { checkDenyLists, checkTreatment } from './action-problems.ts';
import { ServiceNetworks } from './service-networks.ts';
import { fieldOf, listIn } from './document-fields.ts';
import { didYouMean } from './nearest-name.ts';
import { problemsMax } from './policy-problem.ts';
import type { PolicyProblem, Report } from './policy-problem.ts';
import { anyName } from './schema-checks.ts';

/**
 * Looks at whatever is well formed in the input, so that an operator sees every problem at once and not only those of the
 * first malformed field.
 */
export const crossProblems = (input: unknown): PolicyProblem[] => {
  const problems: PolicyProblem[] = [];
  const report: Report = (path, code, message) => {
    if (problems.length < problemsMax) problems.push({ severity: 'error', path, code, message });
  };
  const services = listIn(input, 'services');
  const mappings = listIn(input, 'mappings');
  const networks = new ServiceNetworks(services);
  repeatedNames(services, 'services', report);
  repeatedNames(mappings, 'mappings', report);
  for (const [position, mapping] of mappings.entries()) {
    if (problems.length >= problemsMax) break;
    const path = `mappings[${String(position)}]`;
    checkReferences(mapping, path, { networks, report });
    checkPorts(mapping, path, report);
    checkTreatment(mapping, path, { networks, report });
    if (listIn(mapping, 'backends').length > 1) repeatedNames(listIn(mapping, 'backends'), `${path}.backends`, report);
  }
  repeatedNames(listIn(input, 'denyLists'), 'denyLists', report);
  checkDenyLists(listIn(input, 'denyLists'), report);
  return problems;
};

const repeatedNames = (entries: readonly unknown[], list: string, report: Report): void => {
  const first = new Map<string, number>();
  for (const [position, entry] of entries.entries()) {
    const name = fieldOf(entry, 'name');
    if (typeof name !== 'string') continue;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, position);
    else {
      const message = `The name "${name.slice(0, 63)}" is taken by ${list}[${String(earlier)}]: choose another.`;
      report(`${list}[${String(position)}].name`, 'NAME_TAKEN', message);
    }
  }
};

const checkReferences = (
  mapping: unknown,
  path: string,
  context: { readonly networks: ServiceNetworks; readonly report: Report },
): void => {
  for (const side of ['sources', 'destinations']) {
    for (const [position, name] of listIn(mapping, side).entries()) {
      if (typeof name !== 'string' || name === anyName || context.networks.has(name)) continue;
      const meant = didYouMean(name, [anyName, ...context.networks.names()]);
      const message = `There is no service ${JSON.stringify(name.slice(0, 63))}.${meant === '' ? ' Add it to services, or name another.' : meant}`;
      context.report(`${path}.${side}[${String(position)}]`, 'SERVICE_UNKNOWN', message);
    }
  }
};

const checkPorts = (mapping: unknown, path: string, report: Report): void => {
  if (listIn(mapping, 'ports').length === 0 || !listIn(mapping, 'protocols').includes('icmp')) return;
  report(`${path}.ports`, 'PORTS_WITH_ICMP', 'ICMP has no ports: leave the ports out, or make a mapping of its own for icmp.');
};
