/**
 * How the renderer's files become responses, the same on the web host and in the desktop application: paths, types,
 * caching and the security headers. Pure: the hosts read the files.
 */

/** What the page may reach besides its own origin. */
export interface PagePolicy {
  /** Fresh for each response. */
  readonly nonce: string;
  /** Further sources for connect-src, for instance the WebSocket origin. */
  readonly connect: readonly string[];
}

/** The policy of every response. Scripts come from files alone; styles from files and from elements that carry the nonce. */
const contentSecurityPolicy = ({ nonce, connect }: PagePolicy): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${["'self'", ...connect].join(' ')}`,
    "require-trusted-types-for 'script'",
    'trusted-types nest default',
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'none'",
  ].join('; ');

/** Security headers of every response, names in lower case. */
export const securityHeaders = (policy: PagePolicy): Readonly<Record<string, string>> => ({
  'content-security-policy': contentSecurityPolicy(policy),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'permissions-policy': 'camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()',
});

/** Placeholder in index.html that each response replaces by its nonce. */
export const noncePlaceholder = '__NEST_NONCE__';

const contentTypes: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  json: 'application/json; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  woff2: 'font/woff2',
  woff: 'font/woff',
  txt: 'text/plain; charset=utf-8',
};

const extensionOf = (path: string): string => /\.([a-z0-9]+)$/.exec(path)?.[1] ?? '';

/** Type of a file; undefined for what the renderer never ships, which is then not served. */
export const contentTypeOf = (path: string): string | undefined => {
  const extension = extensionOf(path);
  return Object.hasOwn(contentTypes, extension) ? contentTypes[extension] : undefined;
};

/** Files under assets/ carry a hash of their content in the name. */
export const cacheControlOf = (path: string): string =>
  /^\/assets\/[^/]+-[\w-]{8}\.[a-z0-9]+$/.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache';

/** 'page': index.html. The renderer keeps its views behind '#', so they have no paths of their own. */
export type Resolved = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'page' } | { readonly kind: 'missing' };

/**
 * Finds what a path of a URL (still percent-encoded) means. Only names in the list are ever opened, so no path can lead
 * out of the folder.
 */
export const resolvePath = (files: ReadonlySet<string>, encodedPath: string): Resolved => {
  let path: string;
  try {
    path = decodeURIComponent(encodedPath);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return { kind: 'missing' };
  }
  if (path === '/' || path === '/index.html') return { kind: 'page' };
  return files.has(path) ? { kind: 'file', path } : { kind: 'missing' };
};
