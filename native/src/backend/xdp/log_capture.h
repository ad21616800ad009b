// SPDX-License-Identifier: AGPL-3.0-only
// Keeps what libbpf and the verifier say on this thread, instead of letting it go to standard error.
#pragma once

#include <string>

namespace nest::xdp {

class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  /// The last `lines` lines.
  std::string tail(size_t lines) const;
  bool has_verifier_log() const;

 private:
  std::string text_;
  std::string* previous_;
};

}  // namespace nest::xdp
