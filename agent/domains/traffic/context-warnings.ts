import type { PolicyImage } from '../../engine/api.ts';
import type { PlanRequest, Problem } from './api.ts';
import type { Attachment } from './attachments.ts';

const tcp = 6;
const interfacesNamed = 5;

/** Whether the caller's connection to this agent stays allowed under the image; null when the caller is not known. */
export const isManagementReachable = (image: PolicyImage, management: PlanRequest['management']): boolean | null => {
  if (management === null) return null;
  const source = plainAddress(management.callerAddress);
  const destination = plainAddress(management.localAddress);
  // Loopback never meets the data path.
  if (source === '::1' || source.startsWith('127.')) return true;
  if (source.includes(':') !== destination.includes(':')) return null;
  return (
    image.judge({ source, destination, protocol: tcp, sourcePort: management.callerPort, destinationPort: management.localPort }).action ===
    'allow'
  );
};

/** What is right by itself but has consequences on this host. */
export const contextWarnings = (
  image: PolicyImage,
  context: { readonly managementReachable: boolean | null; readonly attachments: readonly Attachment[]; readonly isEnforcing: boolean },
): Problem[] => {
  const problems: Problem[] = [];
  const warn = (code: string, path: string, message: string): void => void problems.push({ code, severity: 'warning', path, message });
  if (context.managementReachable === false) {
    warn(
      'MANAGEMENT_CUT',
      '',
      "This cuts the connection you manage the host by: the host will take the policy back by itself. Allow your address to reach the agent's port.",
    );
  }
  if (image.defaultAction === 'deny') {
    warn(
      'REPLIES_CUT',
      'defaultAction',
      'Replies to connections that this host itself opens (name lookups, time, updates) arrive as new packets and meet the default action. Allow their sources if the host needs them.',
    );
  }
  const missing = context.isEnforcing ? context.attachments.filter(({ problem }) => problem !== '') : [];
  if (missing.length > 0) {
    const named = missing.slice(0, interfacesNamed).map(({ name, problem }) => `${name} (${problem})`);
    const more = missing.length > interfacesNamed ? ` and ${String(missing.length - interfacesNamed)} more` : '';
    warn('INTERFACE_NOT_ATTACHED', '', `Policy is not enforced on ${named.join(', ')}${more}.`);
  }
  return problems;
};

/** Without the zone, and an IPv4-mapped address as IPv4. */
const plainAddress = (text: string): string => text.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
