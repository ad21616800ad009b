import { join } from 'node:path';
import { z } from 'zod';
import { errorCodes } from '../../proto/model/error.ts';
import type { NestErrorCode } from '../../proto/model/error.ts';

/** One JSON line each way per connection; larger lines are refused, bytes. */
export const lineBytesMax = 64 << 10;

export const localRequest = z.discriminatedUnion('command', [
  z.strictObject({ command: z.literal('join'), token: z.string().max(512) }),
  z.strictObject({ command: z.literal('status') }),
  z.strictObject({ command: z.literal('leave') }),
]);
export type LocalRequest = z.output<typeof localRequest>;

export const joinAnswer = z.strictObject({
  fingerprint: z.string(),
  expiresAtMs: z.number(),
  address: z.string(),
  port: z.number().nullable(),
});
export type JoinAnswer = z.output<typeof joinAnswer>;

export const leaveAnswer = z.strictObject({ fleetId: z.string() });
export type LeaveAnswer = z.output<typeof leaveAnswer>;

export const statusAnswer = z.strictObject({
  name: z.string(),
  version: z.string(),
  fingerprint: z.string(),
  agentId: z.string().nullable(),
  fleetId: z.string().nullable(),
  certificateEndsAtMs: z.number().nullable(),
  enrollment: z.strictObject({ expiresAtMs: z.number(), attemptsLeft: z.number() }).nullable(),
  grpc: z.strictObject({ mode: z.string(), port: z.number().nullable() }),
  traffic: z.strictObject({
    mode: z.string(),
    observeReason: z.string(),
    generation: z.string(),
    adopted: z.boolean(),
    flows: z.number().nullable(),
  }),
  interfaces: z.array(z.strictObject({ name: z.string(), mode: z.string().nullable(), problem: z.string() })),
  revision: z.number(),
  pending: z.strictObject({ revision: z.number(), previousRevision: z.number(), remainingMs: z.number() }).nullable(),
  warnings: z.array(z.strictObject({ code: z.string(), severity: z.string(), title: z.string(), message: z.string() })),
});
export type StatusAnswer = z.output<typeof statusAnswer>;

export const localReply = z.union([
  z.strictObject({ ok: z.literal(true), answer: z.unknown() }),
  z.strictObject({ ok: z.literal(false), code: z.enum(errorCodes as [NestErrorCode, ...NestErrorCode[]]), message: z.string() }),
]);
export type LocalReply = z.output<typeof localReply>;

/** Where the running agent listens for commands of its own host. */
export const socketPath = (stateDir: string): string => join(stateDir, 'agent.sock');
