/** Answers of the web host to plain requests: checks first, then the renderer's files. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { cacheControlOf, contentTypeOf, resolvePath, securityHeaders } from '../lib/page.ts';
import type { Access, Session } from './access.ts';
import type { PageFolder } from '../lib/page-folder.ts';
import { onwardPage, refusalPage, refusals } from './refusal.ts';
import type { Refusal } from './refusal.ts';

export interface HttpContext {
  readonly access: Access;
  readonly pages: PageFolder;
  /** Values of the Host header that are ours, for instance "127.0.0.1:4500". */
  readonly hosts: () => ReadonlySet<string>;
  readonly newNonce: () => string;
  readonly cookieName: () => string;
}

const urlLengthMax = 2048;

/** The value of a cookie; undefined when it is absent or given twice. */
const cookieOf = (header: string | undefined, name: string): string | undefined => {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`));
  return values.length === 1 ? values[0]?.slice(name.length + 1) : undefined;
};

/** The session of a request. */
export const sessionOf = (context: HttpContext, request: IncomingMessage): Session | undefined =>
  context.access.find(cookieOf(request.headers.cookie, context.cookieName()));

/** Handles one request to its end. Never rejects on what a client sends. */
export const handleRequest = async (context: HttpContext, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const nonce = context.newNonce();
  const host = request.headers.host ?? '';
  const isOurHost = context.hosts().has(host);
  for (const [name, value] of Object.entries(securityHeaders({ nonce, connect: isOurHost ? [`ws://${host}`] : [] })))
    response.setHeader(name, value);
  response.setHeader('cache-control', 'no-store');
  const refusal = isOurHost ? precheck(request) : refusals.host;
  if (refusal !== undefined) {
    refuse(response, refusal, nonce);
    return;
  }
  const url = new URL(`http://${host}${request.url ?? '/'}`);
  const token = url.searchParams.get('token');
  const session = sessionOf(context, request);
  if (token !== null && session === undefined) {
    redeem(context, { token, request, response, nonce });
    return;
  }
  if (session === undefined) {
    refuse(response, refusals.session, nonce);
    return;
  }
  if (token !== null) {
    // A link opened again by the browser it let in: the token leaves the address bar, the session stays.
    response.writeHead(303, { location: '/' }).end();
    return;
  }
  await serve(context, { path: (request.url ?? '/').split(/[?#]/, 1)[0] ?? '/', response, nonce });
};

const precheck = (request: IncomingMessage): Refusal | undefined => {
  if (request.method !== 'GET' && request.method !== 'HEAD') return refusals.method;
  const target = request.url ?? '/';
  if (target.length > urlLengthMax) return refusals.address;
  // Absolute-form and protocol-relative targets name a host of their own.
  if (!target.startsWith('/') || target.startsWith('//')) return refusals.missing;
  const site = request.headers['sec-fetch-site'];
  const isForeign = site === 'cross-site' || site === 'same-site';
  return isForeign && request.headers['sec-fetch-mode'] !== 'navigate' ? refusals.origin : undefined;
};

const redeem = (
  context: HttpContext,
  {
    token,
    request,
    response,
    nonce,
  }: { readonly token: string; readonly request: IncomingMessage; readonly response: ServerResponse; readonly nonce: string },
): void => {
  const secret = request.method === 'GET' ? context.access.redeem(token) : undefined;
  if (secret === undefined) {
    refuse(response, refusals.token, nonce);
    return;
  }
  response.setHeader('set-cookie', `${context.cookieName()}=${secret}; Path=/; HttpOnly; SameSite=Strict`);
  const site = request.headers['sec-fetch-site'];
  if (site === 'cross-site' || site === 'same-site') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(onwardPage);
    return;
  }
  response.writeHead(303, { location: '/' }).end();
};

const serve = async (
  context: HttpContext,
  { path, response, nonce }: { readonly path: string; readonly response: ServerResponse; readonly nonce: string },
): Promise<void> => {
  const resolved = resolvePath(context.pages.files, path);
  if (resolved.kind === 'missing') {
    refuse(response, refusals.missing, nonce);
    return;
  }
  if (resolved.kind === 'page') {
    const text = Buffer.from(context.pages.page(nonce));
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': text.length }).end(text);
    return;
  }
  const bytes = await context.pages.read(resolved.path);
  response
    .writeHead(200, {
      'content-type': contentTypeOf(resolved.path) ?? 'application/octet-stream',
      'content-length': bytes.length,
      'cache-control': cacheControlOf(resolved.path),
    })
    .end(bytes);
};

const refuse = (response: ServerResponse, refusal: Refusal, nonce: string): void => {
  if (refusal.status === 405) response.setHeader('allow', 'GET, HEAD');
  const text = Buffer.from(refusalPage(refusal, nonce));
  response
    .writeHead(refusal.status, {
      'content-type': 'text/html; charset=utf-8',
      'content-length': text.length,
      'nest-error': refusal.code,
      connection: 'close',
    })
    .end(text);
};
