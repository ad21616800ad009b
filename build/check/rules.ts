/** What tidy holds and no other tool knows. Each rule takes one file or the whole list and returns problems; all are pure. */
import ts from 'typescript';

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

const charactersMax = 25_000;
const linesMax = 500;
const functionLinesMax = 70;
const blobBytesMax = 512 << 10;
const bannedStems: Readonly<Record<string, string>> = {
  utils: 'name what it does',
  util: 'name what it does',
  helpers: 'name what it does',
  helper: 'name what it does',
  common: 'name the noun it holds',
  misc: 'split it',
  manager: 'name the thing it keeps',
};
const extensions = new Set(
  '.ts .tsx .mjs .cjs .py .c .h .cc .hh .proto .md .json .yml .yaml .svg .png .css .html .txt .service .editorconfig .gitignore .gitattributes .npmrc .clang-format .plist .version'.split(
    ' ',
  ),
);
const withoutExtension = new Set(['.ci/run']);

const isCode = (path: string): boolean => /\.(ts|tsx|mjs|cjs|c|h|cc|hh|css|proto)$/.test(path);
const isScript = (path: string): boolean => /\.tsx?$/.test(path);
const extensionOf = (path: string): string => /\.[^./]+$/.exec(path)?.[0] ?? '';
const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** Size limits of code and documentation; the licence text is exempt, being a given text. */
export const checkSize = ({ path, text }: SourceFile): string[] => {
  // Raw rows of a benchmark are data: nobody reads them from top to bottom.
  if (path === 'LICENSE.md' || path === 'package-lock.json' || /^docs\/performance\/\w+\.json$/.test(path)) return [];
  const problems: string[] = [];
  if (text.length > charactersMax) problems.push(`${path}: ${text.length} characters, at most ${charactersMax}: split it by noun`);
  const lines = text.split('\n').length;
  if (isCode(path) && lines > linesMax) problems.push(`${path}: ${lines} lines, at most ${linesMax}: split it by noun`);
  return problems;
};

/** Functions of TypeScript files; component and test suites count their inner functions, not the wrapper. */
export const checkFunctions = ({ path, text }: SourceFile): string[] => {
  if (!isScript(path) || /\.(test|spec)\.tsx?$/.test(path)) return [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, path.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS);
  const problems: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
      const lines = source.getLineAndCharacterOfPosition(node.getEnd()).line - first + 1;
      if (lines > functionLinesMax)
        problems.push(`${path}:${first + 1}: a function of ${lines} lines, at most ${functionLinesMax}: split it`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return problems;
};

export const checkName = ({ path }: SourceFile): string[] => {
  const file = path.slice(path.lastIndexOf('/') + 1);
  const stem = file.replace(/(\.(test|spec|bpf|d|config))?\.[^.]+$/, '');
  const problems: string[] = [];
  const advice = bannedStems[stem];
  if (advice !== undefined && !path.endsWith('.proto')) problems.push(`${path}: the name "${stem}" says nothing: ${advice}`);
  if (isScript(path) && !/^[a-z0-9]+([.-][a-z0-9]+)*$/.test(stem)) problems.push(`${path}: TypeScript files are kebab-case nouns`);
  if (/\.(c|h|cc|hh)$/.test(path) && !/^[a-z0-9]+(_[a-z0-9]+)*$/.test(stem)) problems.push(`${path}: C and C++ files are snake_case`);
  const extension = extensionOf(path);
  if (!withoutExtension.has(path) && !extensions.has(extension))
    problems.push(`${path}: the extension "${extension}" is not on the list (build/check/rules.ts)`);
  return problems;
};

/** The text of rules is spelled in parts, so that this file does not match itself. */
const bannedTexts: readonly { readonly pattern: RegExp; readonly message: string }[] = [
  {
    pattern: new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['HA', 'CK'].join('')}|${['XX', 'X'].join('')})\\b`),
    message: 'open ends belong in an issue',
  },
  {
    pattern: new RegExp(`\\b(it|test|describe)\\.(${['sk', 'ip'].join('')}|only|todo)\\(`),
    message: 'a skip prints its reason and is counted: use context.skip(reason)',
  },
  { pattern: new RegExp(`(${['/wo', 'rk/'].join('')}|${['/ro', 'ot/'].join('')}|/home/[a-z]+/)`), message: 'a machine path' },
];

export const checkTexts = ({ path, text }: SourceFile): string[] => {
  if (!isCode(path) && !path.endsWith('.md') && !path.endsWith('.json') && !path.endsWith('.yml')) return [];
  if (path === 'package-lock.json' || path === 'LICENSE.md') return [];
  return bannedTexts.flatMap(({ pattern, message }) => {
    const match = pattern.exec(text);
    return match === null ? [] : [`${path}:${lineOf(text, match.index)}: "${match[0]}": ${message}`];
  });
};

export const checkHeader = ({ path, text }: SourceFile): string[] => {
  if (/^(native|bpf)\/.*\.(c|h|cc|hh)$/.test(path) && !/^\/[/*] SPDX-License-Identifier: /.test(text))
    return [`${path}: the first line is an SPDX licence identifier`];
  if (/(^|\/)api\.ts$/.test(path) && !/^\/\*\*[\s\S]{80,}?\*\//.test(text))
    return [`${path}: opens with a paragraph: what it is, who may use it, what it never does`];
  if (path.endsWith('.md') && path !== 'LICENSE.md') {
    const titles = text.replace(/^```[\s\S]*?^```/gm, '').match(/^# .+$/gm) ?? [];
    if (titles.length !== 1) return [`${path}: ${titles.length} titles, exactly one "# " line is wanted`];
  }
  return [];
};

export const checkBlob = (path: string, bytes: number): string[] =>
  bytes > blobBytesMax && path !== 'package-lock.json' ? [`${path}: ${bytes} bytes, at most ${blobBytesMax}`] : [];

/** .version, package.json and the changelog name the same version. */
export const checkVersion = (version: string, packageVersion: string, changelog: string): string[] => {
  const problems: string[] = [];
  const plain = version.trim();
  if (!/^\d+\.\d+\.\d+(\.\d+)?$/.test(plain)) problems.push(`.version: "${plain}" is not Major.Minor.Patch[.epoch]`);
  if (packageVersion !== plain.split('.').slice(0, 3).join('.'))
    problems.push(`package.json says ${packageVersion}, .version says ${plain}`);
  if (!changelog.includes(`## ${plain}`)) problems.push(`docs/CHANGELOG.md has no section "## ${plain}"`);
  return problems;
};

/** The codes of proto/nest/v1/error.proto, without prefix. */
export const errorCodesOf = (proto: string): string[] =>
  [...proto.matchAll(/^ {2}ERROR_CODE_([A-Z_]+) = \d+;/gm)].map((match) => match[1] ?? '').filter((code) => code !== 'UNSPECIFIED');

/** docs/ERRORS.md explains each code once, and no other. */
export const checkErrorDocs = (codes: readonly string[], docs: string): string[] => {
  const documented = [...docs.matchAll(/^\| `([A-Z_]+)` +\|/gm)].map((match) => match[1] ?? '');
  return [
    ...codes.filter((code) => !documented.includes(code)).map((code) => `docs/ERRORS.md does not explain ${code}`),
    ...documented.filter((code) => !codes.includes(code)).map((code) => `docs/ERRORS.md explains ${code}, which no proto file knows`),
    ...documented.filter((code, index) => documented.indexOf(code) !== index).map((code) => `docs/ERRORS.md explains ${code} twice`),
  ];
};
