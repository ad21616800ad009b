/**
 * A match as one comparable unsigned 32-bit word, as NEST_MATCH_* in bpf/include/nest/abi.h: the larger wins. Higher
 * priority first, then deny, then the mapping whose name sorts first (the smaller index).
 */

export interface Match {
  /** Position of the mapping, sorted by name. */
  readonly index: number;
  readonly isDeny: boolean;
  /** 0..1000. */
  readonly priority: number;
}

/** The word of a match. */
export const encodeMatch = (match: Match): number =>
  (((match.priority * 2 + (match.isDeny ? 1 : 0) + 1) << 16) | (0xffff ^ match.index)) >>> 0;

/** The match of a word other than 0. */
export const decodeMatch = (word: number): Match => {
  const rank = (word >>> 16) - 1;
  return { index: matchIndex(word), isDeny: (rank & 1) !== 0, priority: rank >>> 1 };
};

/** Mapping index of a word other than 0. */
export const matchIndex = (word: number): number => (word & 0xffff) ^ 0xffff;
