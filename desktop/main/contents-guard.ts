/** What no web contents of the application may do, whatever the page asks for. */
import type { App, Session, Shell, WebContents } from 'electron';
import { isExternalLinkAllowed } from './external-link.ts';
import { isPageUrl } from './page-scheme.ts';

/** Permissions the page may use; everything else is denied without asking. */
const permissionsAllowed: ReadonlySet<string> = new Set(['clipboard-sanitized-write', 'notifications']);

/** Guards every web contents from its creation on, and the application's certificate and login questions. */
export const guardApplication = (app: App, shell: Pick<Shell, 'openExternal'>): void => {
  app.on('web-contents-created', (_event, contents) => {
    guardContents(contents, shell);
  });
  app.on('certificate-error', (event, ...details) => {
    event.preventDefault();
    details[4](false);
  });
  app.on('select-client-certificate', (event, ...details) => {
    event.preventDefault();
    details[3]();
  });
  app.on('login', (event, ...details) => {
    event.preventDefault();
    details[3]();
  });
};

const guardContents = (contents: WebContents, shell: Pick<Shell, 'openExternal'>): void => {
  const stayOnPage = (event: { readonly url: string; preventDefault(): void }): void => {
    if (!isPageUrl(event.url)) event.preventDefault();
  };
  contents.on('will-navigate', stayOnPage);
  contents.on('will-redirect', stayOnPage);
  contents.on('will-frame-navigate', stayOnPage);
  contents.on('will-attach-webview', (event) => {
    event.preventDefault();
  });
  contents.setWindowOpenHandler(({ url }) => {
    // The window is denied always; a link to our own documents goes to the browser.
    if (isExternalLinkAllowed(url)) void shell.openExternal(url);
    return { action: 'deny' };
  });
};

/** Denies devices, permissions but two, and every request that leaves the page's own scheme. */
export const guardSession = (session: Session, isPackaged: boolean): void => {
  session.setPermissionRequestHandler((contents, permission, callback) => {
    callback(permissionsAllowed.has(permission) && isPageUrl(contents.getURL()));
  });
  session.setPermissionCheckHandler(
    (_contents, permission, requestingOrigin) => permissionsAllowed.has(permission) && isPageUrl(requestingOrigin),
  );
  session.setDevicePermissionHandler(() => false);
  session.setSpellCheckerEnabled(false);
  session.webRequest.onBeforeRequest({ urls: ['<all_urls>'] }, ({ url }, callback) => {
    const isOwn = isPageUrl(url) || url.startsWith('data:image/') || (!isPackaged && url.startsWith('devtools://'));
    callback({ cancel: !isOwn });
  });
  session.on('will-download', (event) => {
    event.preventDefault();
  });
};
