/**
 * Numbers of the contract in bpf/include/nest/{abi,image}.h that the compiler needs; a test reads the headers and holds them equal.
 * What is called "work" bounds the compiler alone and has no counterpart in the kernel.
 */

export const mappingsMax = 16_384;
export const pairsMax = 1_048_576;
export const portIntervalsMax = 2_097_152;
/** Distinct prefixes per address family. */
export const identitiesMax = 262_144;

/** Sum of the sizes of all classes: bounds the "explain" section when thousands of services overlap. */
export const classMembersMax = 1_048_576;
/** Table cells visited plus port intervals merged: bounds the time of a compilation to a few seconds. */
export const compileWorkMax = 16_777_216;

export const priorityMax = 1000;
export const portMax = 65_535;

export const flagEnforce = 1;
export const flagDefaultDeny = 2;

export const l4 = { tcp: 1, udp: 2, icmp: 3, other: 4 } as const;
/** Bit of a transport class in a mask. */
export const l4Bit = (number: number): number => 1 << (number - 1);
export const l4Count = 4;

/** Class 0: in no service that counts, and "any" in a pair key. */
export const identityAny = 0;
/** The match word that says "nothing matches". */
export const matchNone = 0;

export const imageMagic = 'NESTIMG1';
export const imageVersion = 1;
export const imageHeaderBytes = 64;
export const identity4Bytes = 16;
export const identity6Bytes = 28;
export const pairBytes = 20;
export const portIntervalBytes = 8;
export const mappingBytes = 12;
/** Sections start at a multiple of this. */
export const sectionAlignment = 8;
