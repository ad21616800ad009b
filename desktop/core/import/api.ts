/**
 * Files of older systems become policy documents, with a note for everything that cannot be said in one yet. Used by the
 * command line and the policy editor. It reads text and returns data: it never applies, stores or fetches anything.
 */
export { importMarchProxy } from './marchproxy-import.ts';
export type { MarchProxyImport } from './marchproxy-import.ts';
export type { ImportNote } from './marchproxy-note.ts';
export type { MarchProxyShape } from './marchproxy-shape.ts';
