/** The one refusal of a table image. */
import { NestError } from '../../proto/model/error.ts';

/** IMAGE_INVALID with what is wrong, for instance "pairs are not sorted". */
export const invalidImage = (what: string, cause?: unknown): NestError =>
  new NestError('IMAGE_INVALID', `The table image is refused: ${what}. Compile the policy again with this version of Nest.`, {
    ...(cause === undefined ? {} : { cause }),
    details: { what },
  });
