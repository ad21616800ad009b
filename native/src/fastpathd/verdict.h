// SPDX-License-Identifier: AGPL-3.0-only
// The shared verdict, built for user space. It is C: two of its functions bear the name of a structure, which
// C++ reads as hiding a constructor.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "user/verdict.h"  // IWYU pragma: export
#pragma GCC diagnostic pop
