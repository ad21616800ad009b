/**
 * Numbers of the contract in bpf/include/nest/{abi,image}.h that the compiler needs; a test reads the headers and holds them equal.
 * What is called "work" bounds the compiler alone and has no counterpart in the kernel.
 */

export const mappingsMax = 16_384;
export const pairsMax = 1_048_576;
export const portIntervalsMax = 2_097_152;
/** Distinct prefixes per address family. */
export const identitiesMax = 262_144;
/** Distinct prefixes of all deny lists, per address family. */
export const denyPrefixesMax = 1_048_576;
export const denyListsMax = 256;
export const balancersMax = 512;
export const backendsMax = 16_384;

/** Sum of the sizes of all classes: bounds the "explain" section when thousands of services overlap. */
export const classMembersMax = 1_048_576;
/** Table cells visited plus port intervals merged: bounds the time of a compilation to a few seconds. */
export const compileWorkMax = 16_777_216;

export const priorityMax = 1000;
export const portMax = 65_535;

export const flagEnforce = 1;
export const flagDefaultDeny = 2;
export const flagDeny = 4;

export const l4 = { tcp: 1, udp: 2, icmp: 3, other: 4 } as const;
/** Bit of a transport class in a mask. */
export const l4Bit = (number: number): number => 1 << (number - 1);
export const l4Count = 4;

/** Ranges of struct nest_action: packets and bytes per second, and the depths of their buckets. */
export const packetsPerSecondMax = 1_000_000_000;
export const bytesPerSecondMax = 1_000_000_000_000;
export const burstPacketsMax = 1_000_000_000;
export const burstBytesMin = 1514;
export const burstBytesMax = 4_000_000_000;
/** 0 is never chosen. */
export const backendWeightMax = 1000;

export const actionLimitPerSource = 1;
export const actionSourceNat = 2;
export const actionMasquerade = 4;
/** The packet keeps its DSCP. */
export const dscpKeep = 0xff;
export const dscpMax = 63;

export const natKind = { dnat: 1, full: 2, dsr: 3 } as const;
export const backendState = { up: 0, drain: 1, down: 2 } as const;
export const ringNone = 0xffff_ffff;
export const ringSize = 65_537;

/** Class 0: in no service that counts, and "any" in a pair key. */
export const identityAny = 0;
/** The match word that says "nothing matches". */
export const matchNone = 0;

export const imageMagic = 'NESTIMG1';
export const imageVersion = 2;
export const imageHeaderBytes = 96;
export const identity4Bytes = 16;
export const identity6Bytes = 28;
export const pairBytes = 20;
export const portIntervalBytes = 8;
export const mappingBytes = 12;
export const actionBytes = 72;
export const deny4Bytes = 12;
export const deny6Bytes = 24;
export const balancerBytes = 24;
export const backendBytes = 32;
/** Sections start at a multiple of this. */
export const sectionAlignment = 8;
