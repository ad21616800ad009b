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
    // "auto": every interface that is up, without loopback; or a list: ["lan0", { "name": "wan0", "engine": "xdp" }]. Engines:
    // "auto", "xdp", "af_xdp", "dpdk" and "off". "fallback" ("xdp", or "pass") says who judges while nest-fastpathd is away.
    "interfaces": "auto",
    // Directory inside a bpffs; what is pinned here goes on without the agent.
    "pinPath": "/sys/fs/bpf/nest",
    // Files that deny lists of a policy name lie here, one prefix a line.
    "denyListDir": "/etc/nest-agent/deny-lists",
    // "auto": what this host itself begins is judged and steered too, when it connects (kernel 5.15, control groups of version 2) and
    // where it leaves (tcx: kernel 6.6, before that clsact); "off": only what comes in by an interface.
    "local": "off"
  },

  // "warn", "info" or "debug"; "json" or "text". Add "syslog": { "address": "198.18.0.5", "port": 514 } to send a copy by UDP.
  "log": { "level": "info", "format": "json" },

  // Flow records and events for collectors. Nothing leaves the host until you add one or both of
  // "syslog": { "host": "198.18.0.5", "port": 514, "facility": "local0" } and
  // "ipfix": { "host": "198.18.0.5", "port": 4739, "observationDomain": 1, "templateSeconds": 60 }; "cluster" names the host's cluster.
  "export": {
    // What leaves: RPC authentication and enrolment; flow records (also IPFIX); diagnostics of data path, policy and health.
    "log": { "authentication": true, "netflow": true, "debug": false },
    // Seconds between two records of a flow that lives.
    "periodicSeconds": 60
  }
}
`;
