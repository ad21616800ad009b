import { FileDescriptorProto } from '../../../proto/gen/google/protobuf/descriptor.ts';
import type { DescriptorProto, EnumDescriptorProto, FieldDescriptorProto } from '../../../proto/gen/google/protobuf/descriptor.ts';

/** A proto file as it goes over the wire. */
export interface DescriptorFile {
  readonly name: string;
  /** Serialized FileDescriptorProto, exactly as the compiler wrote it: decoding and encoding again would lose custom options. */
  readonly bytes: Buffer;
  /** Names of the files it imports itself. */
  readonly imports: readonly string[];
}

export interface DescriptorIndex {
  file(name: string): DescriptorFile | undefined;
  /** The file that declares a full name without a leading dot. */
  fileOfSymbol(symbol: string): DescriptorFile | undefined;
  fileOfExtension(extendedType: string, number: number): DescriptorFile | undefined;
  /** Numbers of all extensions of a message, ascending; undefined when there is no such message. */
  extensionNumbers(extendedType: string): readonly number[] | undefined;
  /** The file and all it imports, directly or not, each once, the file itself first. */
  withImports(file: DescriptorFile): readonly DescriptorFile[];
}

interface Declared {
  readonly symbols: Map<string, DescriptorFile>;
  readonly messages: Set<string>;
  /** By extended message, then by field number. */
  readonly extensions: Map<string, Map<number, DescriptorFile>>;
}

/** Decodes every descriptor (base64 by file name) once. Throws what the decoder throws when one is damaged. */
export const createDescriptorIndex = (descriptors: Readonly<Record<string, string>>): DescriptorIndex => {
  const files = new Map<string, DescriptorFile>();
  const declared: Declared = { symbols: new Map(), messages: new Set(), extensions: new Map() };
  for (const [name, base64] of Object.entries(descriptors)) {
    const bytes = Buffer.from(base64, 'base64');
    const descriptor = FileDescriptorProto.decode(bytes);
    const file = { name, bytes, imports: descriptor.dependency };
    files.set(name, file);
    declareFile(declared, file, descriptor);
  }
  return {
    file: (name) => files.get(name),
    fileOfSymbol: (symbol) => declared.symbols.get(symbol),
    fileOfExtension: (extendedType, number) => declared.extensions.get(extendedType)?.get(number),
    extensionNumbers: (extendedType) =>
      declared.messages.has(extendedType)
        ? [...(declared.extensions.get(extendedType)?.keys() ?? [])].sort((left, right) => left - right)
        : undefined,
    withImports: (file) => {
      const found = new Set([file]);
      // A set hands out what is added while it is walked: this ends when every import has been seen.
      for (const { imports } of found) {
        for (const name of imports) {
          const imported = files.get(name);
          if (imported !== undefined) found.add(imported);
        }
      }
      return [...found];
    },
  };
};

const nameIn = (scope: string, name: string | undefined): string => (scope === '' ? (name ?? '') : `${scope}.${name ?? ''}`);

const declareFile = (declared: Declared, file: DescriptorFile, descriptor: FileDescriptorProto): void => {
  const scope = descriptor.package ?? '';
  for (const message of descriptor.messageType) declareMessage(declared, file, { scope, message });
  for (const type of descriptor.enumType) declareEnum(declared, file, { scope, type });
  for (const field of descriptor.extension) declareExtension(declared, file, { scope, field });
  for (const service of descriptor.service) {
    const name = nameIn(scope, service.name);
    declared.symbols.set(name, file);
    for (const method of service.method) declared.symbols.set(nameIn(name, method.name), file);
  }
};

const declareMessage = (
  declared: Declared,
  file: DescriptorFile,
  { scope, message }: { readonly scope: string; readonly message: DescriptorProto },
): void => {
  const name = nameIn(scope, message.name);
  declared.symbols.set(name, file);
  declared.messages.add(name);
  for (const member of [...message.field, ...message.oneofDecl]) declared.symbols.set(nameIn(name, member.name), file);
  for (const nested of message.nestedType) declareMessage(declared, file, { scope: name, message: nested });
  for (const type of message.enumType) declareEnum(declared, file, { scope: name, type });
  for (const field of message.extension) declareExtension(declared, file, { scope: name, field });
};

/** Values of an enum live beside it, not in it. */
const declareEnum = (
  declared: Declared,
  file: DescriptorFile,
  { scope, type }: { readonly scope: string; readonly type: EnumDescriptorProto },
): void => {
  for (const { name } of [type, ...type.value]) declared.symbols.set(nameIn(scope, name), file);
};

const declareExtension = (
  declared: Declared,
  file: DescriptorFile,
  { scope, field }: { readonly scope: string; readonly field: FieldDescriptorProto },
): void => {
  declared.symbols.set(nameIn(scope, field.name), file);
  const extendedType = (field.extendee ?? '').replace(/^\./, '');
  const numbers = declared.extensions.get(extendedType) ?? new Map<number, DescriptorFile>();
  numbers.set(field.number ?? 0, file);
  declared.extensions.set(extendedType, numbers);
};
