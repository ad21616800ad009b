/** MarchProxy JSON to a policy document. What a policy cannot say yet is reported under its name, never dropped silently. */
import { validatePolicy } from '../../../native/image/api.ts';
import type { PolicyDocument } from '../../../native/image/api.ts';
import { NestError } from '../../../proto/model/error.ts';
import { policyBytesMax } from '../../../proto/model/limits.ts';
import { importMapping } from './marchproxy-mappings.ts';
import type { ImportNote } from './marchproxy-note.ts';
import { importServices } from './marchproxy-services.ts';
import { readMapping } from './marchproxy-shape.ts';
import type { MarchProxyShape } from './marchproxy-shape.ts';
import { PolicyNames } from './policy-names.ts';

export interface MarchProxyImport {
  readonly policy: PolicyDocument;
  readonly notes: readonly ImportNote[];
  /** Shapes found, in the order of the file. */
  readonly shapes: readonly MarchProxyShape[];
}

const entriesMax = 16_384;
/**
 * Imports the text of a MarchProxy file. Only listed traffic is allowed, as there: the default action denies.
 * Raises IMPORT_INVALID when the text is not such a file; whatever a single entry gets wrong becomes a note.
 */
export const importMarchProxy = (text: string): MarchProxyImport => {
  const file = openFile(text);
  const notes: ImportNote[] = [
    {
      kind: 'file',
      name: '',
      code: 'DEFAULT_DENY',
      message:
        'MarchProxy carries only mapped traffic, so the default action is deny: add a mapping for how you reach the hosts before you apply.',
    },
  ];
  const services = importServices(file.services, notes);
  const entries = file.mappings.map((value) => readMapping(value));
  const names = new PolicyNames();
  const mappings = entries.flatMap((entry, position) => importMapping(entry, { services, notes, names, position }));
  const policy: PolicyDocument = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: services.list, mappings };
  const problem = validatePolicy(policy).find(({ severity }) => severity === 'error');
  if (problem !== undefined) throw refuse(`${problem.path}: ${problem.message}`);
  return { policy, notes, shapes: [...new Set(entries.map(({ shape }) => shape))] };
};

const refuse = (why: string, cause?: unknown): NestError =>
  new NestError('IMPORT_INVALID', `This is not a MarchProxy file: ${why} Export it again, or choose another file.`, {
    details: { why },
    cause,
  });

const openFile = (text: string): { services: readonly unknown[]; mappings: readonly unknown[] } => {
  if (text.length > policyBytesMax) throw refuse(`it is larger than ${String(policyBytesMax >> 20)} MiB.`);
  let file: unknown;
  try {
    file = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw refuse('it is not JSON.', cause);
  }
  const list = (key: string): readonly unknown[] => {
    const value: unknown = typeof file === 'object' && file !== null && Object.hasOwn(file, key) ? Reflect.get(file, key) : undefined;
    if (!Array.isArray(value)) throw refuse(`it has no list "${key}".`);
    if (value.length > entriesMax) throw refuse(`"${key}" has more than ${String(entriesMax)} entries.`);
    return value;
  };
  return { services: list('services'), mappings: list('mappings') };
};
