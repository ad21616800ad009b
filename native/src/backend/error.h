// SPDX-License-Identifier: AGPL-3.0-only
// The one exception of the native code. It never leaves src/binding, which turns it into a JavaScript error.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace nest {

/// Codes of native/addon.ts, by the same names.
enum class Code {
  kPermission,
  kKernelTooOld,
  kVerifierRejected,
  kBpffsMissing,
  kInterfaceUnknown,
  kInterfaceForeignProgram,
  kInterfacesExhausted,
  kAttachFailed,
  kImageInvalid,
  kTableFull,
  kPinIncompatible,
  kPacketInvalid,
  kClosed,
  kSystem,
};

/// "NATIVE_PERMISSION" and so on.
std::string_view code_name(Code code);

class Error : public std::runtime_error {
 public:
  /// `next_step` is what the operator can do.
  Error(Code kind, const std::string& message, std::string next_step, std::string log = {})
      : std::runtime_error(message), code(kind), step(std::move(next_step)), verifier_log(std::move(log)) {}

  Code code;
  std::string step;
  std::string verifier_log;
};

/// For a failed system call: kPermission for EPERM and EACCES, kTableFull for E2BIG, ENOMEM and ENOSPC, else
/// kSystem. `error` is a positive errno.
[[nodiscard]] Error system_error(int error, const std::string& what);

}  // namespace nest
