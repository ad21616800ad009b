/** The licence server, as the public clients of it speak: three calls, the key in a header and nowhere else. */
import { NestError } from '../../../proto/model/error.ts';
import type { Clock } from '../../lib/api.ts';
import { OutsideError, guardedFetch } from '../outside/guarded-fetch.ts';
import { readLicenseAnswer } from './license-answer.ts';
import type { LicenseAnswer } from './license-answer.ts';

const timeoutMsDefault = 10_000;
const answerBytesMax = 256 << 10;
/** A difference below this is the way of the answer, not a clock. */
const skewMsMin = 5 * 60_000;

export interface LicenseReply {
  readonly answer: Exclude<LicenseAnswer, { readonly kind: 'unreadable' }>;
  /** How far the server's clock is ahead of ours; 0 when they agree within minutes. */
  readonly skewMs: number;
}

/** What is told about this installation, once an hour in release mode. */
export interface KeepaliveNews {
  readonly serverId: string;
  readonly hostName: string;
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly hosts: number;
  readonly clusters: number;
}

/** Every call raises LICENSE_UNREACHABLE (details: retryAfterMs when the server named a time), or CANCELLED. */
export interface LicenseServer {
  validate(key: string, signal: AbortSignal): Promise<LicenseReply>;
  /** Asks about one feature by its name. */
  feature(key: string, name: string, signal: AbortSignal): Promise<LicenseReply>;
  keepalive(key: string, news: KeepaliveNews, signal: AbortSignal): Promise<void>;
}

export interface LicenseServerOptions {
  readonly serverUrl: string;
  readonly product: string;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

/** A client; nothing is sent before the first call. */
export const createLicenseServer = ({ serverUrl, product, clock, timeoutMs = timeoutMsDefault }: LicenseServerOptions): LicenseServer => {
  const post = async (
    path: string,
    key: string,
    { body, signal }: { readonly body: object; readonly signal: AbortSignal },
  ): Promise<Response> => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', accept: 'application/json' };
    const request = { method: 'POST', headers, body: JSON.stringify({ product, ...body }) };
    try {
      return await guardedFetch(`${serverUrl}/api/v2/${path}`, request, { timeoutMs, bytesMax: answerBytesMax, signal });
    } catch (error) {
      if (error instanceof OutsideError) throw unreachable(error.message, null, error);
      throw error;
    }
  };
  const ask = async (
    path: string,
    key: string,
    { body, signal }: { readonly body: object; readonly signal: AbortSignal },
  ): Promise<LicenseReply> => {
    const response = await post(path, key, { body, signal });
    const answer = judge(response, await jsonOf(response), { product, key });
    if (answer.kind === 'unreadable') throw unreachable(answer.message, retryAfterMs(response, clock.now()));
    return { answer, skewMs: skewOf(response, clock.now()) };
  };
  return {
    validate: (key, signal) => ask('validate', key, { body: {}, signal }),
    feature: (key, name, signal) => ask('features', key, { body: { feature: name }, signal }),
    keepalive: async (key, news, signal) => {
      const body = {
        server_id: news.serverId,
        hostname: news.hostName,
        version: news.version,
        uptime_seconds: news.uptimeSeconds,
        usage_stats: { active_users: 1, feature_usage: { proxies: news.hosts, clusters: news.clusters } },
      };
      await post('keepalive', key, { body, signal });
    },
  };
};

/** A refusal is only what the licence server itself says: a status of 401 or 403, or `valid: false`. */
const judge = (response: Response, json: unknown, asked: { readonly product: string; readonly key: string }): LicenseAnswer => {
  const { status } = response;
  const answer = readLicenseAnswer(json, asked);
  if (response.ok || (status < 500 && status !== 429 && answer.kind === 'refused')) return answer;
  if (status === 401 || status === 403) return { kind: 'refused', message: `it does not know this key (HTTP ${String(status)})` };
  return { kind: 'unreadable', message: status === 429 ? 'it is asked too often (HTTP 429)' : `it answers with HTTP ${String(status)}` };
};

/** Undefined for what is not JSON, also when it broke off. */
const jsonOf = async (response: Response): Promise<unknown> => {
  try {
    return await response.json();
  } catch {
    // Whatever it is, it is no answer; the status may still say something.
    return undefined;
  }
};

/** Retry-After in seconds or as a date; null when there is none. */
const retryAfterMs = (response: Response, now: number): number | null => {
  const text = response.headers.get('retry-after')?.trim() ?? '';
  if (text === '') return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
};

const skewOf = (response: Response, now: number): number => {
  const skew = Date.parse(response.headers.get('date') ?? '') - now;
  return Number.isFinite(skew) && Math.abs(skew) > skewMsMin ? skew : 0;
};

const unreachable = (reason: string, retryMs: number | null, cause?: unknown): NestError =>
  new NestError('LICENSE_UNREACHABLE', `The licence server gave no answer: ${reason}. What it said last stays in force for its grace.`, {
    details: retryMs === null ? {} : { retryAfterMs: retryMs },
    ...(cause === undefined ? {} : { cause }),
  });
