import type { AuthenticationEvent } from '../../../lib/authentication-event.ts';
import type { LogRecord } from '../../../lib/log.ts';
import { formatJson } from '../../../lib/log-format.ts';
import type { SyslogMessage } from '../../../lib/syslog-message.ts';
import { severityOf } from '../../../lib/syslog-sink.ts';
import { clusterParameter } from './flow-syslog.ts';

const authenticationElement = 'nestauth@32473';
const diagnosticElement = 'nestdebug@32473';

/** A lasting condition of the host that began, changed or ended. */
export interface HealthChange {
  readonly code: string;
  readonly title: string;
  readonly message: string;
  readonly severity: 'warning' | 'critical';
  readonly isOver: boolean;
}

interface Context {
  readonly cluster: string;
  readonly nowMs: number;
}

/** The message of one authentication event. */
export const authenticationMessage = (event: AuthenticationEvent, { cluster, nowMs }: Context): SyslogMessage => {
  const outcome = event.isAccepted ? 'accepted' : 'refused';
  return {
    severity: event.isAccepted ? 'informational' : 'warning',
    timeMs: nowMs,
    messageId: `auth-${outcome}`,
    data: {
      id: authenticationElement,
      parameters: [
        ...clusterParameter(cluster),
        ['kind', event.kind],
        ['outcome', outcome],
        ['source', event.source],
        ['subject', event.subject],
        ['action', event.action],
        ['code', event.code],
      ],
    },
    text: `${event.kind} ${outcome}${event.source === '' ? '' : ` from ${event.source}`}${event.isAccepted ? '' : `: ${event.code}`}`,
  };
};

/** The message of one line of the agent's own log, whole as JSON. */
export const diagnosticMessage = (record: LogRecord, { cluster }: Context): SyslogMessage => {
  const part = record.fields['part'];
  return {
    severity: severityOf[record.level],
    timeMs: record.timeMs,
    messageId: 'diagnostic',
    data: { id: diagnosticElement, parameters: [...clusterParameter(cluster), ['part', typeof part === 'string' ? part : '']] },
    text: formatJson(record),
  };
};

/** The message of a health warning that began, changed or ended. */
export const healthMessage = (change: HealthChange, { cluster, nowMs }: Context): SyslogMessage => ({
  severity: change.isOver ? 'notice' : change.severity,
  timeMs: nowMs,
  messageId: change.isOver ? 'health-ended' : 'health-raised',
  data: {
    id: diagnosticElement,
    parameters: [...clusterParameter(cluster), ['part', 'health'], ['code', change.code], ['severity', change.severity]],
  },
  text: `${change.title}. ${change.message}`,
});
