/** The scheme the page is served under: nest-app://console, never file://. */
import type { Protocol } from 'electron';
import type { PageFolder } from '../lib/page-folder.ts';
import { cacheControlOf, contentTypeOf, resolvePath, securityHeaders } from '../lib/page.ts';

const pageScheme = 'nest-app';
export const pageOrigin = `${pageScheme}://console`;

/** Says what the scheme may do. Has to run before the application is ready. */
export const registerPageScheme = (protocol: Pick<Protocol, 'registerSchemesAsPrivileged'>): void => {
  protocol.registerSchemesAsPrivileged([
    {
      scheme: pageScheme,
      privileges: {
        standard: true,
        secure: true,
        supportFetchAPI: true,
        corsEnabled: false,
        bypassCSP: false,
        allowServiceWorkers: false,
        stream: false,
      },
    },
  ]);
};

/** True for a URL of the page itself. */
export const isPageUrl = (text: string): boolean => {
  const url = URL.parse(text);
  // The origin of a custom scheme is opaque ("null"), so scheme and host are compared one by one.
  return url !== null && url.protocol === `${pageScheme}:` && url.host === 'console' && url.username === '' && url.password === '';
};

/** Answers requests of the page with files of its folder and the security headers. Only GET; everything unknown is 404. */
export const servePage = (protocol: Pick<Protocol, 'handle'>, pages: PageFolder, newNonce: () => string): void => {
  protocol.handle(pageScheme, (request) => respond(pages, newNonce(), request));
};

const respond = async (pages: PageFolder, nonce: string, request: Pick<Request, 'method' | 'url'>): Promise<Response> => {
  const headers = { ...securityHeaders({ nonce, connect: [] }), 'cache-control': 'no-store' };
  if (!isPageUrl(request.url)) return new Response(null, { status: 421, headers });
  if (request.method !== 'GET') return new Response(null, { status: 405, headers: { ...headers, allow: 'GET' } });
  const resolved = resolvePath(pages.files, new URL(request.url).pathname);
  if (resolved.kind === 'missing') return new Response(null, { status: 404, headers });
  if (resolved.kind === 'page')
    return new Response(pages.page(nonce), { status: 200, headers: { ...headers, 'content-type': 'text/html; charset=utf-8' } });
  const bytes = new Uint8Array(await pages.read(resolved.path));
  return new Response(bytes, {
    status: 200,
    headers: {
      ...headers,
      'content-type': contentTypeOf(resolved.path) ?? 'application/octet-stream',
      'cache-control': cacheControlOf(resolved.path),
    },
  });
};
