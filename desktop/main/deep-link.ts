/**
 * Links of the form nest://hosts/<id>. A link only chooses the view that is shown: it carries no text, no address and no
 * action, because any page and any mail can hold one.
 */
const lengthMax = 256;
const hostPath = /^\/([0-9A-HJKMNP-TV-Z]{26})$/;
const views: ReadonlySet<string> = new Set(['hosts', 'policy', 'review', 'trace', 'settings']);

/** The path of the view a link names; undefined for everything else. */
export const parseDeepLink = (text: string): string | undefined => {
  if (text.length > lengthMax || !/^nest:\/\/[\w/-]+$/.test(text)) return undefined;
  const url = URL.parse(text);
  if (url === null || url.protocol !== 'nest:' || url.port !== '') return undefined;
  if (!views.has(url.host)) return undefined;
  if (url.pathname === '' || url.pathname === '/') return `/${url.host}`;
  const id = url.host === 'hosts' ? hostPath.exec(url.pathname)?.[1] : undefined;
  return id === undefined ? undefined : `/hosts/${id}`;
};

/** The deep link among the arguments of a second start. Raises nothing: what is not a link is not one. */
export const deepLinkOf = (args: readonly string[]): string | undefined => {
  const links = args.filter((argument) => argument.startsWith('nest:'));
  return links.length === 1 && links[0] !== undefined ? parseDeepLink(links[0]) : undefined;
};
