/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * What the verdict asks of the place it runs in: tables, clock, ring buffer, the way out. The kernel
 * answers with maps and helpers (runtime_kernel.h), every other place with memory of its own
 * (runtime_user.h, with NEST_RUNTIME_USER defined). The logic above is plain C over a cursor.
 */
#ifndef NEST_RUNTIME_H
#define NEST_RUNTIME_H

#ifdef NEST_RUNTIME_USER
#include "runtime_user.h"
#else
#include "runtime_kernel.h"
#endif

#endif
