/**
 * Blanks out `//` and block comments outside strings, keeping every line where it is, so that the JSON parser's
 * positions stay true. Nothing else of JSON changes: trailing commas stay errors.
 */
export const withoutComments = (text: string): string =>
  text.replaceAll(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (token) =>
    token.startsWith('"') ? token : token.replaceAll(/[^\n]/g, ' '),
  );
