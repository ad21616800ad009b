/** A licence server on loopback that does what it is told, well or badly. Ships nowhere. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { LicenseAnswer } from './license-answer.ts';

export const fakeKey = 'PENG-AB12-CD34-EF56-GH78-IJ90';

export type LicenseMode =
  | 'valid'
  | 'expired'
  | 'revoked'
  | 'wrong-product'
  | 'wrong-key'
  | 'feature-off'
  | 'http-401'
  | 'http-429'
  | 'http-500'
  | 'redirect'
  | 'slow'
  | 'truncated'
  | 'not-json'
  | 'endless'
  | 'unknown-fields'
  | 'ahead'
  | 'behind';

export interface FakeLicenseServer {
  readonly url: string;
  mode: LicenseMode;
  /** Merged over the answer of the mode. */
  answer: object;
  readonly requests: { readonly path: string; readonly key: string | undefined; readonly body: Record<string, unknown> }[];
  stop(): Promise<void>;
}

const dayMs = 86_400_000;

/** What the real one says about an enterprise licence for 10 hosts with single sign-on. */
export const validAnswer = (now: number): Record<string, unknown> => ({
  valid: true,
  message: 'License is valid',
  customer: 'Test customer',
  product: 'nest',
  license_version: '2.0',
  license_key: fakeKey,
  expires_at: new Date(now + 30 * dayMs).toISOString(),
  issued_at: new Date(now - 30 * dayMs).toISOString(),
  tier: 'enterprise',
  features: [
    { name: 'reports', entitled: false, units: 0, description: '', metadata: {} },
    { name: 'sso', entitled: true, units: 0, description: 'Single sign-on', metadata: {} },
  ],
  limits: { max_servers: 10, max_users: -1, data_retention_days: 90 },
  metadata: { server_id: 'srv-1', support_tier: 'gold', custom_fields: {} },
});

/** Terms for tests that need no server. */
export const grantedAnswer = (
  part: Partial<Extract<LicenseAnswer, { kind: 'granted' }>['terms']> = {},
): Extract<LicenseAnswer, { kind: 'granted' }> => ({
  kind: 'granted',
  terms: {
    customer: 'Test customer',
    tier: 'enterprise',
    issuedAt: null,
    endsAt: null,
    features: ['sso'],
    hostsMax: 10,
    clustersMax: null,
    serverId: null,
    ...part,
  },
});

/** `tls`: key and certificate, PEM. */
export const startFakeLicenseServer = async (
  now: () => number = Date.now,
  tls?: { readonly key: string; readonly cert: string },
): Promise<FakeLicenseServer> => {
  const state: Pick<FakeLicenseServer, 'mode' | 'answer' | 'requests'> = { mode: 'valid', answer: {}, requests: [] };
  const held = new Set<ServerResponse>();
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const key = request.headers.authorization?.replace(/^Bearer /, '');
    state.requests.push({ path: request.url ?? '', key, body: JSON.parse(text) as Record<string, unknown> });
    held.add(response);
    reply(response, state, now());
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => void handle(request, response);
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${String(port)}`,
    stop: async () => {
      for (const response of held) response.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  });
};

const reply = (response: ServerResponse, { mode, answer }: Pick<FakeLicenseServer, 'mode' | 'answer'>, now: number): void => {
  const send = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', date: new Date(now).toUTCString(), ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const valid = (part: object, at = now): void =>
    send(200, { ...validAnswer(at), ...part, ...answer }, { date: new Date(at).toUTCString() });
  switch (mode) {
    case 'valid':
      return valid({});
    case 'expired':
      return valid({ expires_at: new Date(now - 1000).toISOString() });
    case 'revoked':
      return send(200, { valid: false, message: 'License has been revoked' });
    case 'wrong-product':
      return valid({ product: 'elder' });
    case 'wrong-key':
      return valid({ license_key: fakeKey.replace('AB12', 'ZZ99') });
    case 'feature-off':
      return valid({ features: [{ name: 'sso', entitled: false }] });
    case 'http-401':
      return send(401, { message: 'unknown key' });
    case 'http-429':
      return send(429, {}, { 'retry-after': '7200' });
    case 'http-500':
      return send(500, 'oops');
    case 'redirect':
      return send(302, '', { location: 'http://192.0.2.1/' });
    case 'slow':
      return undefined;
    case 'truncated':
      return send(200, JSON.stringify(validAnswer(now)).slice(0, -40));
    case 'not-json':
      return send(200, '<html>Sign in to the guest network</html>');
    case 'endless':
      return send(200, ' '.repeat(300 << 10));
    case 'unknown-fields':
      return valid({ surprise: { nested: [1, null] }, features: [{ name: 'SSO ', entitled: true, flavour: 7 }, null, 3, 'sso'] });
    case 'ahead':
      return valid({ expires_at: new Date(now + 3 * dayMs).toISOString() }, now + 2 * dayMs);
    case 'behind':
      return valid({ expires_at: new Date(now - dayMs).toISOString() }, now - 2 * dayMs);
  }
};
