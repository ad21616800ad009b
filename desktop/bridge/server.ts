/**
 * The core's end of the bridge: takes conversations on any transport, validates every input with the contract, runs the
 * handler, and answers in plain data. One broken or greedy peer costs only its own conversation.
 */
import { Conversation } from './conversation.ts';
import type { BridgeServerOptions } from './server-options.ts';
import type { Transport } from './transport.ts';

export interface BridgeServer {
  /** Serves one conversation until the transport ends. */
  accept(transport: Transport): void;
  readonly conversationCount: number;
  /** Streams open over all conversations. */
  readonly streamCount: number;
  /** Ends every conversation and cancels what runs in it; resolves when all handlers have returned. */
  close(): Promise<void>;
}

/** Makes a server without any conversation. */
export const createBridgeServer = (options: BridgeServerOptions): BridgeServer => {
  const conversations = new Set<Conversation>();
  const endings = new Set<Promise<void>>();
  let isClosed = false;
  return {
    accept: (transport) => {
      if (isClosed) {
        transport.close();
        return;
      }
      const conversation = new Conversation(transport, options);
      conversations.add(conversation);
      const ending = conversation.ended.finally(() => {
        conversations.delete(conversation);
        endings.delete(ending);
      });
      endings.add(ending);
    },
    get conversationCount() {
      return conversations.size;
    },
    get streamCount() {
      return [...conversations].reduce((sum, conversation) => sum + conversation.streamCount, 0);
    },
    close: async () => {
      isClosed = true;
      for (const conversation of conversations) conversation.close();
      await Promise.all(endings);
    },
  };
};
