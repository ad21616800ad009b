/** The policy most tests use: clients may reach servers on the web ports and by ping, telnet is denied, the rest is denied. */
import type { ImageContent } from './image-builder.ts';
import { buildImage, l4, match } from './image-builder.ts';
import { address } from './packets.ts';

export const client4 = '198.18.1.10';
export const server4 = '198.18.2.20';
export const stranger4 = '198.19.0.1';
export const client6 = '2001:db8:1::10';
export const server6 = '2001:db8:2::20';

/** Indexes of the mappings below, in the order of their names. */
export const mapping = { allowPing: 0, allowWeb: 1, denyTelnet: 2 } as const;

const ping = match(mapping.allowPing, 10, false);
const web = match(mapping.allowWeb, 10, false);
const telnet = match(mapping.denyTelnet, 20, true);

export const content = {
  sourceClasses: 1,
  destinationClasses: 1,
  identities4: [
    { address: address('198.18.1.0'), length: 24, source: 1 },
    { address: address('198.18.2.0'), length: 24, destination: 1 },
  ],
  identities6: [
    { address: address('2001:db8:1::'), length: 64, source: 1 },
    { address: address('2001:db8:2::'), length: 64, destination: 1 },
  ],
  pairs: [
    {
      source: 0,
      destination: 0,
      l4: l4.tcp,
      ports: [
        [0, 0],
        [23, telnet],
        [24, 0],
      ],
    },
    {
      source: 1,
      destination: 1,
      l4: l4.tcp,
      ports: [
        [0, 0],
        [20, web],
        [81, 0],
        [443, web],
        [444, 0],
      ],
    },
    {
      source: 1,
      destination: 1,
      l4: l4.udp,
      ports: [
        [0, 0],
        [53, web],
        [54, 0],
      ],
    },
    { source: 1, destination: 1, l4: l4.icmp, ports: ping },
  ],
  mappings: [
    { name: 'allow-ping', priority: 10 },
    { name: 'allow-web', priority: 10 },
    { name: 'deny-telnet', deny: true, priority: 20 },
  ],
} as const satisfies ImageContent;

export const webPolicy = (): Buffer => buildImage(content);

/** Same tables, default allow. */
export const openPolicy = (): Buffer => buildImage({ ...content, flags: 1 });

/** Nothing matches, everything is denied. */
export const closedPolicy = (): Buffer => buildImage({});

/** Clients may not reach servers at all; everything else is allowed. */
export const cutPolicy = (): Buffer =>
  buildImage({
    ...content,
    flags: 1,
    pairs: [{ source: 1, destination: 1, l4: l4.tcp, ports: match(0, 5, true) }],
    mappings: [{ name: 'cut', deny: true, priority: 5 }],
  });

/** An empty policy: nothing is enforced. */
export const emptyPolicy = (): Buffer => buildImage({ flags: 0 });
