/**
 * The provider of OpenID Connect: discovery, device flow (RFC 8628), and an ID token whose signature, issuer, audience, age and algorithm
 * were checked. The protocol is oauth4webapi's; what may be reached and read is guarded by us.
 */
import * as oauth from 'oauth4webapi';
import { NestError } from '../../../proto/model/error.ts';
import type { Clock } from '../../lib/api.ts';
import { OutsideError, guardedFetch, isAllowedUrl, isLoopback } from '../outside/guarded-fetch.ts';
import type { SignIn } from './sso-binding.ts';

const answerBytesMax = 256 << 10;
const timeoutMs = 10_000;
/** Asymmetric only: a token "signed" with the public client id would be anybody's. */
const algorithms: ReadonlySet<string> = new Set(['RS256', 'PS256', 'ES256', 'Ed25519', 'EdDSA']);
const scope = 'openid email';
const pollSecondsDefault = 5;
/** RFC 8628 3.5: what a provider adds when it is asked too often. */
const slowDownSeconds = 5;
const loginSecondsMax = 1_800;
const toleranceSeconds = 60;

export interface ProviderClient {
  readonly issuer: string;
  readonly clientId: string;
}

export interface DeviceLogin {
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
  readonly userCode: string;
  readonly expiresAt: number;
  /** Waits until the person has signed in. Raises SIGN_IN_FAILED, CANCELLED. */
  wait(signal: AbortSignal): Promise<SignIn>;
}

/** Begins a sign-in. Raises SIGN_IN_FAILED (details.reason: unreachable | refused). */
export const beginDeviceLogin = async (client: ProviderClient, clock: Clock, signal: AbortSignal): Promise<DeviceLogin> => {
  const provider = await discover(client, signal);
  const { server, options } = provider;
  const asClient = { client_id: client.clientId };
  const device = await guarded('refused', async () => {
    const parameters = new URLSearchParams({ scope });
    const response = await oauth.deviceAuthorizationRequest(server, asClient, oauth.None(), parameters, options(signal));
    return oauth.processDeviceAuthorizationResponse(server, asClient, response);
  });
  const expiresAt = clock.now() + Math.min(device.expires_in, loginSecondsMax) * 1000;
  const complete = device.verification_uri_complete ?? null;
  if (!isAllowedUrl(device.verification_uri) || (complete !== null && !isAllowedUrl(complete)))
    throw failed('refused', 'The provider names an address for signing in that is not https. Check its configuration.');
  return {
    verificationUri: device.verification_uri,
    verificationUriComplete: complete,
    userCode: device.user_code.slice(0, 64),
    expiresAt,
    wait: (waiting) => poll({ client, provider, device, expiresAt, clock }, waiting),
  };
};

/** Whether the provider answers at all; what it answers does not matter. */
export const isProviderThere = async (client: ProviderClient, signal: AbortSignal): Promise<boolean> => {
  try {
    await discover(client, signal);
    return true;
  } catch (error) {
    if (error instanceof NestError && error.details['reason'] === 'unreachable') return false;
    if (error instanceof NestError && error.code === 'SIGN_IN_FAILED') return true;
    throw error;
  }
};

interface Provider {
  readonly server: oauth.AuthorizationServer;
  readonly options: (signal: AbortSignal) => ReturnType<typeof requestOptions>;
}

/** What the library hands to a fetch, as far as it is passed on. */
interface ProviderRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | undefined;
}

const requestOptions = (issuer: URL, signal: AbortSignal) => ({
  signal,
  [oauth.customFetch]: (address: string, { method, headers, body }: ProviderRequest) =>
    guardedFetch(address, { method, headers, ...(body === undefined ? {} : { body }) }, { timeoutMs, bytesMax: answerBytesMax, signal }),
  // Plain HTTP is refused by guardedFetch for every address that is not of this machine.
  [oauth.allowInsecureRequests]: isLoopback(issuer.hostname),
});

const discover = async ({ issuer }: ProviderClient, signal: AbortSignal): Promise<Provider> => {
  const url = URL.parse(issuer);
  if (url === null || !isAllowedUrl(issuer))
    throw failed('refused', 'The issuer is not an https address. Correct the configuration of single sign-on.');
  const options = (given: AbortSignal) => requestOptions(url, given);
  const server = await guarded('unreachable', async () => {
    const response = await oauth.discoveryRequest(url, { algorithm: 'oidc', ...options(signal) });
    if (response.status >= 500) throw new OutsideError(`it answers with HTTP ${String(response.status)}`);
    return guarded('refused', () => oauth.processDiscoveryResponse(url, response));
  });
  const offered = server.id_token_signing_alg_values_supported?.filter((name) => algorithms.has(name)) ?? ['RS256'];
  if (offered.length === 0)
    throw failed('refused', 'The provider signs its tokens with no algorithm that is safe here. Set it to RS256 or ES256.');
  return { server: { ...server, id_token_signing_alg_values_supported: offered }, options };
};

interface Poll {
  readonly client: ProviderClient;
  readonly provider: Provider;
  readonly device: oauth.DeviceAuthorizationResponse;
  readonly expiresAt: number;
  readonly clock: Clock;
}

/** Asks no more often than the provider wants, until the code expires. */
const poll = async ({ client, provider, device, expiresAt, clock }: Poll, signal: AbortSignal): Promise<SignIn> => {
  let pauseSeconds = Math.max(1, device.interval ?? pollSecondsDefault);
  while (clock.now() < expiresAt) {
    await clock.sleep(pauseSeconds * 1000, signal);
    const answer = await ask({ client, provider, device, clock }, signal);
    if (typeof answer === 'object') return answer;
    if (answer === 'slow_down') pauseSeconds += slowDownSeconds;
  }
  throw failed('refused', 'The code has expired before anybody signed in. Begin again.');
};

const ask = async (
  { client, provider: { server, options }, device, clock }: Omit<Poll, 'expiresAt'>,
  signal: AbortSignal,
): Promise<SignIn | 'authorization_pending' | 'slow_down'> => {
  const asClient: oauth.Client = {
    client_id: client.clientId,
    [oauth.clockSkew]: Math.round((clock.now() - Date.now()) / 1000),
    [oauth.clockTolerance]: toleranceSeconds,
  };
  return guarded('refused', async () => {
    const response = await oauth.deviceCodeGrantRequest(server, asClient, oauth.None(), device.device_code, options(signal));
    try {
      const result = await oauth.processDeviceCodeResponse(server, asClient, response);
      const claims = oauth.getValidatedIdTokenClaims(result);
      if (claims === undefined) throw failed('refused', 'The provider gave no ID token. Allow the scope "openid" for this client.');
      await oauth.validateApplicationLevelSignature(server, response, options(signal));
      return signInOf(client, claims, clock.now());
    } catch (error) {
      if (error instanceof oauth.ResponseBodyError && (error.error === 'authorization_pending' || error.error === 'slow_down'))
        return error.error;
      throw error;
    }
  });
};

const signInOf = ({ issuer, clientId }: ProviderClient, claims: oauth.IDToken, now: number): SignIn => ({
  issuer,
  clientId,
  subject: claims.sub,
  email: claims['email_verified'] === true && typeof claims['email'] === 'string' ? claims['email'].slice(0, 254) : null,
  at: now,
});

/** Translates what the network and the library raise. */
const guarded = async <Result>(reason: 'unreachable' | 'refused', work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NestError) throw error;
    const outside = outsideOf(error);
    if (outside !== null) throw failed('unreachable', `The provider gave no answer: ${outside.message}. Try again.`, error);
    if (error instanceof oauth.ResponseBodyError) throw failed('refused', refusals[error.error] ?? otherRefusal, error);
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError || error instanceof TypeError)
      throw failed(
        reason,
        'The answer of the provider does not hold: it is not what OpenID Connect asks for, or its signature does not fit. Check issuer and client id.',
        error,
      );
    throw error;
  }
};

/** The library wraps what the fetch it was given raises. */
const outsideOf = (error: unknown): OutsideError | null => {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) if (at instanceof OutsideError) return at;
  return null;
};

const refusals: Readonly<Record<string, string>> = {
  access_denied: 'Signing in was refused, by the person or by the provider.',
  expired_token: 'The code has expired before anybody signed in. Begin again.',
  invalid_client: 'The provider does not know this client id. Correct the configuration of single sign-on.',
  unauthorized_client: 'The provider does not allow the device flow to this client. Switch it on there.',
};
const otherRefusal = 'The provider refuses the sign-in. Look into its log, and check the client id.';

const failed = (reason: 'unreachable' | 'refused', message: string, cause?: unknown): NestError =>
  new NestError('SIGN_IN_FAILED', message, { details: { reason }, ...(cause === undefined ? {} : { cause }) });
