// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/error.h"

#include <cerrno>
#include <cstring>

namespace nest {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kPermission:
      return "NATIVE_PERMISSION";
    case Code::kKernelTooOld:
      return "NATIVE_KERNEL_TOO_OLD";
    case Code::kVerifierRejected:
      return "NATIVE_VERIFIER_REJECTED";
    case Code::kBpffsMissing:
      return "NATIVE_BPFFS_MISSING";
    case Code::kInterfaceUnknown:
      return "NATIVE_INTERFACE_UNKNOWN";
    case Code::kInterfaceForeignProgram:
      return "NATIVE_INTERFACE_FOREIGN_PROGRAM";
    case Code::kInterfacesExhausted:
      return "NATIVE_INTERFACES_EXHAUSTED";
    case Code::kAttachFailed:
      return "NATIVE_ATTACH_FAILED";
    case Code::kImageInvalid:
      return "NATIVE_IMAGE_INVALID";
    case Code::kTableFull:
      return "NATIVE_TABLE_FULL";
    case Code::kPinIncompatible:
      return "NATIVE_PIN_INCOMPATIBLE";
    case Code::kPacketInvalid:
      return "NATIVE_PACKET_INVALID";
    case Code::kClosed:
      return "NATIVE_CLOSED";
    case Code::kSystem:
      break;
  }
  return "NATIVE_SYSTEM";
}

Error system_error(int error, const std::string& what) {
  const std::string message = what + ": " + std::strerror(error);
  if (error == EPERM || error == EACCES) {
    return Error(Code::kPermission, message, "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
  }
  if (error == E2BIG || error == ENOMEM || error == ENOSPC) {
    return Error(Code::kTableFull, message, "use a smaller policy, or give the host more memory");
  }
  return Error(Code::kSystem, message, "look at the kernel log (dmesg) of this host");
}

}  // namespace nest
