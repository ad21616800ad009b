/** A packet's way through the data path in words: the same for an agent that ran the loaded program and a console that ran it as WebAssembly. */
export { packetWords } from './packet-words.ts';
export { traceFlow, traceParse } from './packet-trace.ts';
export type { PacketRewrite, PacketTrace } from './packet-trace.ts';
export { traceSteps } from './trace-steps.ts';
export type { TraceNames, TraceStep } from './trace-steps.ts';
