import { NestError } from '../../../proto/model/error.ts';

const commentMax = 500;
const idPattern = /^[A-Za-z0-9-]{8,64}$/;

/** The id of a change. Raises INPUT_INVALID. */
export const checkedTransactionId = (id: string, field = 'transaction_id'): string => {
  if (idPattern.test(id)) return id;
  throw new NestError('INPUT_INVALID', `${field} must be a ULID or UUID: 8 to 64 letters, digits and "-". Make a new one for each change.`);
};

/** What is said about a change. Raises INPUT_INVALID. */
export const checkedComment = (comment: string): string => {
  if (comment.length <= commentMax) return comment;
  throw new NestError('INPUT_INVALID', `The comment has ${comment.length} characters, at most ${commentMax} are kept. Shorten it.`);
};
