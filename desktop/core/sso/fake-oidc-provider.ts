/** A provider of OpenID Connect on loopback with the device flow, well-behaved or not. Ships nowhere. */
import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeProvider {
  readonly issuer: string;
  readonly clientId: string;
  /** What the token endpoint answers until somebody has signed in. */
  pending: 'authorization_pending' | 'slow_down' | 'access_denied' | 'expired_token' | null;
  /** Merged over the claims of the next ID token. */
  claims: Record<string, unknown>;
  /** null: no ID token at all. */
  algorithm: 'ES256' | 'RS256' | 'HS256' | 'none' | null;
  /** False: signed with a key that is not among the published. */
  isSignedRight: boolean;
  /** HTTP status of discovery. */
  status: number;
  /** Where people are sent. */
  verificationUri: string;
  readonly requests: string[];
  stop(): Promise<void>;
}

/** RSA keys take a while: made once a process. */
const makeKeys = () => ({
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  stranger: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
});
let madeKeys: ReturnType<typeof makeKeys> | undefined;

/** `nowMs`: the clock of the provider. */
export const startFakeProvider = async (nowMs: () => number = Date.now): Promise<FakeProvider> => {
  madeKeys ??= makeKeys();
  const { stranger, ...keys } = madeKeys;
  const server = createServer((request, response) => {
    const send = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(body));
    };
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const form = new URLSearchParams(text);
      provider.requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
      const isOurs = form.get('client_id') === provider.clientId;
      switch (request.url) {
        case '/.well-known/openid-configuration':
          return send(provider.status, provider.status === 200 ? metadata(provider.issuer) : {});
        case '/jwks':
          return send(200, { keys: Object.entries(keys).map(([alg, { publicKey }]) => jwk(alg, publicKey)) });
        case '/device':
          if (!isOurs) return send(401, { error: 'invalid_client' });
          return send(200, {
            device_code: 'dev',
            user_code: 'WDJB-MJHT',
            verification_uri: provider.verificationUri,
            expires_in: 600,
            interval: 1,
          });
        case '/token': {
          if (provider.pending !== null) return send(400, { error: provider.pending });
          const idToken =
            provider.algorithm === null
              ? {}
              : { id_token: token(provider, provider.isSignedRight ? keys : { ES256: stranger, RS256: keys.RS256 }, nowMs()) };
          return send(200, { access_token: 'at', token_type: 'Bearer', expires_in: 60, ...idToken });
        }
        default:
          return send(404, {});
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const provider: FakeProvider = {
    issuer,
    clientId: 'nest-console',
    pending: null,
    claims: {},
    algorithm: 'ES256',
    isSignedRight: true,
    status: 200,
    verificationUri: `${issuer}/activate`,
    requests: [],
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return provider;
};

const metadata = (issuer: string): object => ({
  issuer,
  device_authorization_endpoint: `${issuer}/device`,
  token_endpoint: `${issuer}/token`,
  jwks_uri: `${issuer}/jwks`,
  id_token_signing_alg_values_supported: ['ES256', 'RS256', 'HS256', 'none'],
  subject_types_supported: ['public'],
  response_types_supported: ['code'],
});

const jwk = (alg: string, key: KeyObject): object => ({ ...key.export({ format: 'jwk' }), alg, use: 'sig', kid: alg });

type Keys = Readonly<Record<'ES256' | 'RS256', { readonly privateKey: KeyObject }>>;

const token = ({ issuer, clientId, claims, algorithm }: FakeProvider, keys: Keys, nowMs: number): string => {
  const now = Math.floor(nowMs / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = {
    iss: issuer,
    aud: clientId,
    sub: 'person-1',
    email: 'ada@example.test',
    email_verified: true,
    iat: now,
    exp: now + 300,
    ...claims,
  };
  const signed = `${part({ alg: algorithm, kid: algorithm })}.${part(payload)}`;
  if (algorithm === 'ES256')
    return `${signed}.${sign('sha256', Buffer.from(signed), { key: keys.ES256.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  if (algorithm === 'RS256') return `${signed}.${sign('sha256', Buffer.from(signed), keys.RS256.privateKey).toString('base64url')}`;
  return `${signed}.${algorithm === 'HS256' ? 'c2lnbmF0dXJl' : ''}`;
};
