/** Links the application opens in the browser. */
const hostsAllowed: ReadonlySet<string> = new Set(['www.penguintech.io', 'docs.penguintech.io']);
const lengthMax = 2048;

/** True only for https to a host of the list, on its default port, without user or password. */
export const isExternalLinkAllowed = (text: string): boolean => {
  if (text.length > lengthMax) return false;
  const url = URL.parse(text);
  return (
    url !== null &&
    url.protocol === 'https:' &&
    hostsAllowed.has(url.hostname) &&
    url.port === '' &&
    url.username === '' &&
    url.password === ''
  );
};
