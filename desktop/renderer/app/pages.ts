/** Every page that exists, once: for the sidebar, the palette and the shortcuts. */
import {
  Archive,
  BadgeCheck,
  Boxes,
  Crosshair,
  ListChecks,
  Rocket,
  ScrollText,
  Server,
  Settings2,
  ShieldCheck,
  Stamp,
  Waves,
} from 'lucide-react';
import type { LucideIcon } from 'lucide-react';

export interface ConsolePage {
  readonly id: string;
  readonly title: string;
  readonly path: string;
  readonly icon: LucideIcon;
  /** Pressed after G. */
  readonly key: string;
}

export const primaryPages: readonly ConsolePage[] = [
  { id: 'hosts', title: 'Hosts', path: '/hosts', icon: Server, key: 'h' },
  { id: 'groups', title: 'Groups', path: '/groups', icon: Boxes, key: 'o' },
];

export const trafficPages: readonly ConsolePage[] = [
  { id: 'policy', title: 'Policy', path: '/policy', icon: ListChecks, key: 'p' },
  { id: 'flows', title: 'Flows', path: '/flows', icon: Waves, key: 'f' },
  { id: 'trace', title: 'Packet tracer', path: '/trace', icon: Crosshair, key: 't' },
];

export const operatePages: readonly ConsolePage[] = [
  { id: 'rollouts', title: 'Rollouts', path: '/rollouts', icon: Rocket, key: 'r' },
  { id: 'approvals', title: 'Approvals', path: '/approvals', icon: Stamp, key: 'v' },
  { id: 'audit', title: 'Audit', path: '/audit', icon: ScrollText, key: 'a' },
  { id: 'snapshots', title: 'Snapshots', path: '/snapshots', icon: Archive, key: 'n' },
];

export const administrationPages: readonly ConsolePage[] = [
  { id: 'access', title: 'Access', path: '/access', icon: ShieldCheck, key: 'w' },
  { id: 'certificates', title: 'Certificates', path: '/certificates', icon: BadgeCheck, key: 'c' },
  { id: 'settings', title: 'Settings', path: '/settings', icon: Settings2, key: 's' },
];

export const allPages: readonly ConsolePage[] = [...primaryPages, ...trafficPages, ...operatePages, ...administrationPages];
