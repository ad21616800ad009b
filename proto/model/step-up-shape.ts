/** Shapes and limits of second factors, without the means to check them: faces of the console read documents that hold statements, too. */
import { z } from 'zod';

/** Hosts that keep the secret of a second factor. */
export const witnessesMax = 3;
/** Longer than a rollout of 5,000 hosts. */
export const actCharactersMax = 256 << 10;
const statementCharactersMax = 16 << 10;

/** Statements as they travel inside of a signed document: base64 each. */
export const statementsSchema = z.array(z.base64().max(statementCharactersMax)).min(1).max(witnessesMax);
