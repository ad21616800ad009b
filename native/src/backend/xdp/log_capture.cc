// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/log_capture.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace nest::xdp {
namespace {

/// A rejected program's log is long; its end says why.
constexpr size_t kTextBytesMax = 1u << 20;

// libbpf has one printer for the process and no context argument, so the buffer in use hangs on the thread.
thread_local std::string* current = nullptr;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
  if (current == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int bytes = std::vsnprintf(nullptr, 0, format, arguments);
  if (bytes > 0) {
    std::string line(static_cast<size_t>(bytes) + 1, '\0');
    std::vsnprintf(line.data(), line.size(), format, again);
    line.pop_back();
    current->append(line);
    if (current->size() > kTextBytesMax) current->erase(0, current->size() - kTextBytesMax);
  }
  va_end(again);
  return bytes;
}

}  // namespace

LogCapture::LogCapture() : previous_(current) {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(keep); });
  current = &text_;
}

LogCapture::~LogCapture() {
  current = previous_;
}

std::string LogCapture::tail(size_t lines) const {
  size_t end = text_.size();
  while (end > 0 && text_[end - 1] == '\n') end--;
  size_t start = end;
  for (size_t found = 0; start > 0; start--) {
    if (text_[start - 1] == '\n' && ++found == lines) break;
  }
  return text_.substr(start, end - start);
}

bool LogCapture::has_verifier_log() const {
  return text_.find("BEGIN PROG LOAD LOG") != std::string::npos;
}

}  // namespace nest::xdp
