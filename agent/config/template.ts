import { metricsPortDefault } from './schema.ts';
import { agentPortDefault } from '../../proto/model/limits.ts';

/** What `nest-agent init` writes: every key with its default and what it means. A test holds it equal to the schema's defaults. */
export const configTemplate = `{
  // Name of this host in the fleet; leave it out to use the system's host name.
  // "name": "edge-1",

  // Keys, certificate, revisions. Readable by root alone.
  "stateDir": "/var/lib/nest-agent",

  // gRPC over mutual TLS, for the console. It answers only while an enrolment is open or after the host joined a fleet.
  "listen": { "enabled": true, "address": "0.0.0.0", "port": ${agentPortDefault} },

  // true: gRPC tools such as grpcurl may ask the port above what it serves, with the certificate of an operator alone.
  "reflection": false,

  // /healthz and /metrics, plain HTTP: keep it on loopback or a management network.
  "metrics": { "address": "127.0.0.1", "port": ${metricsPortDefault} },

  "traffic": {
    // "auto": enforce where the kernel allows it, else observe; "enforce": fail when it cannot; "observe": never touch packets.
    "mode": "auto",
    // "auto": every interface that is up, without loopback; or a list: ["lan0", "wan0"].
    "interfaces": "auto",
    // Directory inside a bpffs; what is pinned here goes on without the agent.
    "pinPath": "/sys/fs/bpf/nest"
  },

  // "warn", "info" or "debug"; "json" or "text". Add "syslog": { "address": "198.18.0.5", "port": 514 } to send a copy by UDP.
  "log": { "level": "info", "format": "json" }
}
`;
