/**
 * Who may sign entitlement files for closed networks: Ed25519 public keys (SPKI, DER, base64), the present one and the next.
 * The licence desk has published none yet; until one stands here a build in release mode takes no such file and says so.
 */
export const pinnedLicenseKeys: readonly string[] = [];
