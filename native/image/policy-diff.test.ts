import { describe, expect, it } from 'vitest';

import { diffPolicies, parsePolicy } from './api.ts';
import type { PolicyDocument, PolicyMapping } from './api.ts';

const before: PolicyDocument = {
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'allow',
  services: [
    { name: 'edge', addresses: ['198.18.0.0/16'] },
    { name: 'databases', addresses: ['198.19.9.12', '198.19.9.11'] },
  ],
  mappings: [
    { name: 'b-api', sources: ['any'], destinations: ['edge'], protocols: ['tcp'], ports: ['443', '80'], action: 'allow', priority: 100 },
    { name: 'c-old', sources: ['edge'], destinations: ['any'], protocols: ['icmp'], action: 'deny', priority: 0 },
  ],
};

const added: PolicyMapping = {
  name: 'a-deny-db',
  sources: ['edge'],
  destinations: ['databases'],
  protocols: ['tcp', 'udp'],
  ports: ['1-1024'],
  action: 'deny',
  priority: 500,
};
const [api] = before.mappings;

const textOf = (left: PolicyDocument | undefined, right: PolicyDocument): string =>
  diffPolicies(left === undefined ? undefined : parsePolicy(left), parsePolicy(right))
    .lines.map(({ kind, text }) => `${{ same: ' ', added: '+', removed: '-' }[kind]} ${text}`)
    .join('\n');

describe('the difference between two policies', () => {
  it('shows added, removed and changed entries with their unchanged fields around', () => {
    const after = {
      ...before,
      defaultAction: 'deny' as const,
      mappings: [added, { ...api, ports: ['443'], priority: 200 } as PolicyMapping],
    };
    expect(`\n${textOf(before, after)}\n`).toBe(`
- defaultAction: allow
+ defaultAction: deny
  mappings:
+   - name: a-deny-db
+     sources: [edge]
+     destinations: [databases]
+     protocols: [tcp, udp]        ports: ["1-1024"]
+     action: deny                 priority: 500
    - name: b-api
      sources: [any]
      destinations: [edge]
-     protocols: [tcp]             ports: ["80", "443"]
+     protocols: [tcp]             ports: ["443"]
-     action: allow                priority: 100
+     action: allow                priority: 200
-   - name: c-old
-     sources: [edge]
-     destinations: [any]
-     protocols: [icmp]
-     action: deny                 priority: 0
`);
    expect(diffPolicies(parsePolicy(before), parsePolicy(after))).toMatchObject({
      isEmpty: false,
      defaultAction: { field: 'defaultAction', before: 'allow', after: 'deny' },
      services: { added: [], removed: [], changed: [] },
      mappings: {
        added: ['a-deny-db'],
        removed: ['c-old'],
        changed: [
          {
            name: 'b-api',
            fields: [
              { field: 'ports', before: '["80", "443"]', after: '["443"]' },
              { field: 'priority', before: '100', after: '200' },
            ],
          },
        ],
      },
      linesAdded: 8,
      linesRemoved: 8,
      linesHidden: 0,
    });
  });

  it('is empty for the same meaning told otherwise', () => {
    const retold = {
      ...before,
      services: [before.services[1], { name: 'edge', addresses: ['198.18.0.0/16', '198.18.0.0/16'] }] as PolicyDocument['services'],
      mappings: [before.mappings[1], { ...api, ports: ['80,443'], sources: ['any', 'edge'] }] as PolicyDocument['mappings'],
    };
    expect(diffPolicies(parsePolicy(before), parsePolicy(retold))).toMatchObject({ isEmpty: true, lines: [] });
  });

  it('shows a first policy as all added, and changed services by their addresses', () => {
    expect(
      textOf(undefined, before)
        .split('\n')
        .filter((line) => line.startsWith('+')),
    ).toHaveLength(1 + 4 + 10);
    const after = {
      ...before,
      services: [{ name: 'edge', addresses: ['198.18.0.0/16', '2001:db8::/32'] }, before.services[1]] as PolicyDocument['services'],
    };
    expect(`\n${textOf(before, after)}\n`).toBe(`
  services:
    - name: edge
-     addresses: [198.18.0.0/16]
+     addresses: [198.18.0.0/16, 2001:db8::/32]
`);
  });

  it('hides lines beyond two thousand and says how many', () => {
    const mappings = Array.from({ length: 1000 }, (_, index) => ({ ...added, name: `m${String(index)}` }));
    const diff = diffPolicies(undefined, parsePolicy({ ...before, mappings }));
    expect(diff.lines).toHaveLength(2000);
    expect(diff.linesHidden).toBe(1 + 1 + 4 + 1 + 5000 - 2000);
    expect(diff.linesAdded).toBe(1 + 4 + 5000);
  });
});
