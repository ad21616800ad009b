import { status as Code } from '@grpc/grpc-js';
import { fileDescriptors } from '../../../proto/gen/descriptors.ts';
import { ServerReflectionService } from '../../../proto/gen/grpc/reflection/v1/reflection.ts';
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionServer,
} from '../../../proto/gen/grpc/reflection/v1/reflection.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Service } from '../acceptor.ts';
import type { CallAdapter } from '../call-adapter.ts';
import { createDescriptorIndex } from './descriptor-index.ts';
import type { DescriptorFile, DescriptorIndex } from './descriptor-index.ts';

/** A tool asks once for each service and type it shows; more on one stream is no tool. */
const requestsMax = 1000;
/** Host and name of a request together. Requests are echoed, and no name of a proto file or symbol is near this. */
const requestCharactersMax = 1024;

export interface ReflectionServiceOptions {
  readonly adapter: CallAdapter;
  /** Full names of the other services served. */
  readonly serviceNames: readonly string[];
}

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/**
 * grpc.reflection.v1: tells tools which services this agent serves and what their messages look like. A question
 * without an answer gets the protocol's error response, and the stream goes on; INPUT_INVALID and LIMIT_REACHED end it.
 */
export const createReflectionService = ({ adapter, serviceNames }: ReflectionServiceOptions): Service => {
  const index = createDescriptorIndex(fileDescriptors);
  const listed = [...serviceNames, reflectionName].sort();
  const implementation: ServerReflectionServer = {
    serverReflectionInfo: adapter.duplex<ServerReflectionRequest, ServerReflectionResponse>((requests) =>
      answerAll(requests, createAnswerer(index, listed)),
    ),
  };
  return { definition: ServerReflectionService, implementation };
};

const reflectionName = ServerReflectionService.serverReflectionInfo.path.split('/')[1] ?? '';

async function* answerAll(
  requests: AsyncIterable<ServerReflectionRequest>,
  answer: (request: ServerReflectionRequest) => Answer,
): AsyncGenerator<ServerReflectionResponse> {
  let served = 0;
  for await (const request of requests) {
    if (served >= requestsMax)
      throw new NestError('LIMIT_REACHED', `One stream answers ${requestsMax} requests. Open a new one to ask for more.`);
    if (charactersOf(request) > requestCharactersMax)
      throw new NestError(
        'INPUT_INVALID',
        `The request names more than ${requestCharactersMax} characters. Ask for a proto file or symbol.`,
      );
    served += 1;
    yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
  }
}

const charactersOf = ({ host, messageRequest }: ServerReflectionRequest): number => {
  const value = messageRequest?.value ?? '';
  return host.length + (typeof value === 'string' ? value : value.containingType).length;
};

/** Answers the requests of one stream; an import that this stream has sent already is not sent again. */
const createAnswerer = (index: DescriptorIndex, serviceNames: readonly string[]) => {
  const sent = new Set<DescriptorFile>();
  const describe = (file: DescriptorFile | undefined, what: string): Answer => {
    if (file === undefined) return notFound(what);
    const files = index.withImports(file).filter((candidate) => candidate === file || !sent.has(candidate));
    for (const each of files) sent.add(each);
    return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: files.map(({ bytes }) => bytes) } };
  };
  return ({ messageRequest }: ServerReflectionRequest): Answer => {
    switch (messageRequest?.$case) {
      case 'listServices':
        return { $case: 'listServicesResponse', value: { service: serviceNames.map((name) => ({ name })) } };
      case 'fileByFilename':
        return describe(index.file(messageRequest.value), `proto file "${messageRequest.value}"`);
      case 'fileContainingSymbol':
        return describe(index.fileOfSymbol(messageRequest.value), `symbol "${messageRequest.value}"`);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = messageRequest.value;
        return describe(index.fileOfExtension(containingType, extensionNumber), `extension ${extensionNumber} of "${containingType}"`);
      }
      case 'allExtensionNumbersOfType': {
        const numbers = index.extensionNumbers(messageRequest.value);
        if (numbers === undefined) return notFound(`message "${messageRequest.value}"`);
        return { $case: 'allExtensionNumbersResponse', value: { baseTypeName: messageRequest.value, extensionNumber: [...numbers] } };
      }
      default:
        return failed(Code.INVALID_ARGUMENT, 'The request asks nothing that this agent knows. Set one of the fields of message_request.');
    }
  };
};

const failed = (errorCode: Code, errorMessage: string): Answer => ({ $case: 'errorResponse', value: { errorCode, errorMessage } });

const notFound = (what: string): Answer =>
  failed(Code.NOT_FOUND, `This agent has no ${what}. List its services and ask for what they name.`);
