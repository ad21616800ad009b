/**
 * The console without a face: fleet keys, hosts, telemetry, policy, rollouts and traces behind the handlers of the bridge contract.
 * The web host, Electron and the command line construct it with `createConsoleCore` and serve `handlers`; everything else in this
 * folder is private. It never draws, never listens on a port, never writes a secret in plain text, and private keys never leave it.
 */
export { checkAuditExport } from './audit/audit-export.ts';
export type { AuditExportVerdict } from './audit/audit-export.ts';
export { createConsoleCore } from './console-core.ts';
export type { ConsoleCore } from './console-core.ts';
export type { ConsolePorts, CoreReport } from './handler-context.ts';
export { defaultDataDirectory, openSystemPorts } from './system-ports.ts';
export type { SystemPortOptions } from './system-ports.ts';
export { createMemorySettings } from './settings/settings-store.ts';
export type { SettingsStore } from './settings/settings-store.ts';
export { createMemoryVault } from './vault/memory-vault.ts';
export type { CredentialVault } from './vault/credential-vault.ts';
export { spkiFingerprint } from '../grpc/api.ts';
