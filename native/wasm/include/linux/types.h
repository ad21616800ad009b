/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The kernel's integer types, where there are no kernel headers. */
#ifndef NEST_WASM_LINUX_TYPES_H
#define NEST_WASM_LINUX_TYPES_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;

#endif
