// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/failure.h"

#include <cstring>

namespace nest::fast {

std::string_view status_name(Status status) {
  switch (status) {
#define NEST_FAST_STATUS_NAME(number, name) \
  case NEST_FAST_STATUS_##name:             \
    return #name;
    NEST_FAST_STATUSES(NEST_FAST_STATUS_NAME)
#undef NEST_FAST_STATUS_NAME
  }
  return "SYSTEM";
}

Failure system_failure(int error, const std::string& what) {
  const std::string message = what + ": " + std::strerror(error);
  if (error == EPERM || error == EACCES) {
    return Failure(NEST_FAST_STATUS_PERMISSION, message,
                   "run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK");
  }
  return Failure(NEST_FAST_STATUS_SYSTEM, message, "look at the kernel log (dmesg) of this host");
}

}  // namespace nest::fast
