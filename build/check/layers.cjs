/**
 * Who may import whom: deny by default, every allowed edge is a line here (docs/ARCHITECTURE.md tells the story).
 * Own folder is always allowed. Canaries in build/check/canary.ts prove that forbidden edges are reported.
 */
const own =
  '^(proto/gen|proto/model|desktop/bridge|desktop/renderer/(?:widgets|client|app|features/[^/]+)|desktop/(?:lib|grpc|core|main|preload|web|cli)|native|agent/(?:lib|engine|config|server|cli|(?:control|domains)/[^/]+)|build)/';
const testFiles = '^(test|native/test|bpf/test)/|\\.test\\.tsx?$|(^|/)(test|fake)-[^/]+\\.tsx?$';
const allow = (from, to) => ({ from: { path: from }, to: { path: to } });

module.exports = {
  allowedSeverity: 'error',
  allowed: [
    allow(own, '^$1/'),
    // Packages and Node itself; which of them a folder may use is the type checker's lock (types, lib).
    allow('.*', '(^|/)node_modules/|^(node:)?[a-z0-9_/]+$'),
    allow('^proto/model/', '^proto/gen/'),
    allow('^desktop/bridge/', '^proto/model/'),
    allow('^desktop/grpc/', '^(proto|desktop/lib)/'),
    allow('^desktop/core/', '^(proto|desktop/(lib|grpc|bridge)|native/(image|wasm|explain))/'),
    allow('^desktop/lib/', '^proto/model/'),
    allow('^desktop/renderer/', '^(desktop/bridge|proto/model)/'),
    allow('^desktop/renderer/features/', '^desktop/renderer/(widgets|client)/'),
    allow('^desktop/renderer/(widgets|client)/', '^desktop/renderer/(widgets|client)/'),
    allow('^desktop/renderer/app/', '^desktop/renderer/'),
    allow('^desktop/(main|web|cli)/', '^(desktop/(core|bridge|lib)|proto/model)/'),
    allow('^desktop/preload/', '^desktop/bridge/'),
    allow('^native/', '^proto/model/'),
    allow('^agent/lib/', '^proto/model/'),
    allow('^agent/engine/', '^(native/index\\.ts$|agent/lib/|proto/model/)'),
    allow('^agent/control/', '^(agent/lib/|proto/model/|agent/control/[^/]+/api\\.ts$)'),
    allow('^agent/domains/', '^(agent/lib/|proto/model/|agent/control/[^/]+/api\\.ts$|agent/engine/api\\.ts$)'),
    allow('^agent/config/', '^(agent/lib/|proto/model/|agent/((domains|control)/[^/]+|engine)/config\\.ts$)'),
    allow('^agent/server/', '^(agent/lib/|proto/|agent/(domains|control)/[^/]+/api\\.ts$)'),
    allow('^agent/cli/', '^(agent/(lib|config)/|agent/system\\.ts$|proto/model/|agent/control/[^/]+/api\\.ts$)'),
    allow('^agent/(system|main)\\.ts$', '^(agent|proto/model)/|^native/index\\.ts$'),
    // Tests and what only tests use (test-*, fake-*) cross borders on purpose; nobody else imports them.
    allow('(^|/)(test|fake)-[^/]+\\.tsx?$', '^(agent|build|desktop|native|proto|test/support)/'),
    allow('\\.test\\.tsx?$', '^(agent|build|desktop|native|proto|test/support)/'),
    allow('^(native|bpf)/test/', '^(native|bpf|build|test/support|proto/model)/'),
    allow('^test/', '^(agent|build|desktop|native|proto|test|bpf/test)/'),
  ],
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'renderer-reaches-no-node',
      severity: 'error',
      from: { path: '^desktop/renderer/', pathNot: '\\.test\\.tsx?$' },
      to: {
        reachable: true,
        path: `^(node:)?(${require('node:module')
          .builtinModules.filter((name) => !name.startsWith('_'))
          .join('|')})$`,
      },
    },
    {
      name: 'electron-only-in-its-hosts',
      severity: 'error',
      from: { pathNot: '^desktop/(main|preload)/' },
      to: { path: '(^|/)node_modules/electron/' },
    },
    {
      name: 'keychain-only-in-the-vault',
      severity: 'error',
      from: { pathNot: '^desktop/core/vault/' },
      to: { path: '(^|/)node_modules/keytar/' },
    },
    { name: 'nobody-imports-tests', severity: 'error', from: { pathNot: testFiles }, to: { path: testFiles } },
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|out)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'types', 'default'],
      extensions: ['.ts', '.tsx', '.mjs', '.cjs', '.js', '.json'],
    },
  },
};
