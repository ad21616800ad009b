/** What crosses the bridge about changes of hosts beside plans and rollouts: approvals of mappings, drift, and who edits. */

/** A mapping that carries an approval, on one host. People are named as certificates do: "operator/<name>". */
export interface ApprovalRow {
  readonly hostId: string;
  readonly hostName: string;
  /** The revision that has it. */
  readonly revision: number;
  readonly mapping: string;
  readonly justification: string;
  readonly ticket: string | null;
  readonly requestedBy: string;
  readonly approvedBy: string | null;
  readonly approvedAt: number | null;
  readonly expiresAt: number | null;
  readonly state: 'waiting' | 'in-force' | 'ended';
  /** False when it is read from the cache of a host that does not answer. */
  readonly live: boolean;
}

export interface ApprovalList {
  /** Who asks and approves from this console. */
  readonly self: string;
  /** What waits first, then what ends first. */
  readonly rows: readonly ApprovalRow[];
  /** Hosts whose policy is not known here, by name. */
  readonly unknown: readonly string[];
}

export type DriftMode = 'report' | 'heal';

/** Whether the kernel of a host is as its agent has left it. */
export interface HostDrift {
  readonly mode: DriftMode;
  /** null: not looked at yet. */
  readonly checkedAt: number | null;
  readonly findings: readonly {
    readonly resource: string;
    readonly message: string;
    readonly since: number;
    readonly canHeal: boolean;
  }[];
  /** Put right since the agent started. */
  readonly healed: number;
}

export interface DriftRow {
  readonly hostId: string;
  readonly hostName: string;
  /** null: the host does not tell. */
  readonly drift: HostDrift | null;
  readonly live: boolean;
}

/** Somebody who edits the policy of a host now. */
export interface HostEditor {
  readonly leaseId: string;
  readonly operator: string;
  /** First digits of the key's hash: tells two devices of one person apart. */
  readonly device: string;
  readonly since: number;
}

export interface HostEditors {
  readonly hostId: string;
  readonly hostName: string;
  readonly editors: readonly HostEditor[];
}
