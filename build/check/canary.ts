/** Forbidden edges: each is planted as a file in a copy of the tree's outline and must be reported by the layer check. */

export interface Canary {
  /** File that imports, and what it imports; both relative to the repository. */
  readonly from: string;
  readonly to: string;
}

const edge = (from: string, to: string): Canary => ({ from, to });

export const canaries: readonly Canary[] = [
  edge('desktop/renderer/features/hosts/canary.ts', 'desktop/renderer/features/policy/canary.ts'),
  edge('desktop/renderer/widgets/canary.ts', 'desktop/renderer/features/hosts/canary-target.ts'),
  edge('desktop/renderer/client/canary.ts', 'desktop/core/canary-target.ts'),
  edge('desktop/renderer/app/canary.ts', 'desktop/grpc/canary-target.ts'),
  edge('desktop/renderer/app/canary-native.ts', 'native/image/canary-target.ts'),
  edge('desktop/preload/canary.ts', 'desktop/core/canary-target.ts'),
  edge('desktop/bridge/canary.ts', 'desktop/core/canary-target.ts'),
  edge('desktop/core/canary.ts', 'desktop/web/canary-target.ts'),
  edge('desktop/core/canary-renderer.ts', 'desktop/renderer/client/canary-target.ts'),
  edge('desktop/grpc/canary.ts', 'desktop/core/canary-target.ts'),
  edge('desktop/web/canary.ts', 'desktop/grpc/canary-target.ts'),
  edge('desktop/cli/canary.ts', 'desktop/web/canary-target.ts'),
  edge('desktop/main/canary.ts', 'desktop/grpc/canary-target.ts'),
  edge('desktop/lib/canary.ts', 'desktop/bridge/canary-target.ts'),
  edge('agent/domains/traffic/canary.ts', 'agent/domains/host/canary-target.ts'),
  edge('agent/domains/traffic/canary-wire.ts', 'proto/gen/canary-target.ts'),
  edge('agent/domains/traffic/canary-private.ts', 'agent/control/revisions/canary-target.ts'),
  edge('agent/domains/traffic/canary-engine.ts', 'agent/engine/canary-target.ts'),
  edge('agent/engine/canary.ts', 'agent/control/revisions/canary-target.ts'),
  edge('agent/engine/canary-native.ts', 'native/image/canary-target.ts'),
  edge('agent/server/canary.ts', 'agent/domains/traffic/canary-target.ts'),
  edge('agent/control/identity/canary.ts', 'agent/domains/host/canary-target.ts'),
  edge('agent/lib/canary.ts', 'agent/config/canary-target.ts'),
  edge('agent/config/canary.ts', 'agent/server/canary-target.ts'),
  edge('native/image/canary.ts', 'agent/lib/canary-target.ts'),
  edge('proto/model/canary.ts', 'desktop/bridge/canary-target.ts'),
  edge('agent/lib/canary-desktop.ts', 'desktop/lib/canary-target.ts'),
  edge('build/canary.ts', 'agent/lib/canary-target.ts'),
  edge('desktop/core/canary-test.ts', 'test/support/canary-target.ts'),
];
