// SPDX-License-Identifier: AGPL-3.0-only
// The one exception of nest-fastpathd. Its status is what the control protocol and the exit message carry.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

#include "fastpathd/protocol.h"

namespace nest::fast {

using Status = nest_fast_status_code;

/// "FOREIGN_PROGRAM" and so on.
std::string_view status_name(Status status);

class Failure : public std::runtime_error {
 public:
  /// `next_step` is what the operator can do.
  Failure(Status kind, const std::string& message, std::string next_step)
      : std::runtime_error(message), status(kind), step(std::move(next_step)) {}

  Status status;
  std::string step;
};

/// For a failed system call: PERMISSION for EPERM and EACCES, else SYSTEM. `error` is a positive errno.
[[nodiscard]] Failure system_failure(int error, const std::string& what);

}  // namespace nest::fast
