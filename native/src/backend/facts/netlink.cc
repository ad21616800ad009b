// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/facts/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backend/error.h"

namespace nest::facts {
namespace {

constexpr size_t kAnswerBytes = 65536;
/// Answers to one question; the kernel ends long before.
constexpr int kAnswersMax = 4096;
constexpr time_t kWaitSeconds = 2;

class Socket {
 public:
  explicit Socket(int protocol) : number_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)) {
    if (number_ < 0) throw system_error(errno, "the kernel cannot be asked about interfaces");
    const timeval wait = {.tv_sec = kWaitSeconds, .tv_usec = 0};
    setsockopt(number_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  }
  ~Socket() { close(number_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

size_t aligned(size_t bytes) {
  return (bytes + 3) / 4 * 4;
}

enum class Next { kMore, kDone };

/// One datagram holds several messages.
Next read_messages(std::span<const uint8_t> bytes, bool is_dump, int& error,
                   const std::function<void(std::span<const uint8_t>)>& take) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header = {};
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > bytes.size()) break;
    const auto body = bytes.subspan(sizeof(header), header.nlmsg_len - sizeof(header));
    if (header.nlmsg_type == NLMSG_DONE) return Next::kDone;
    if (header.nlmsg_type == NLMSG_ERROR) {
      int32_t code = 0;
      if (body.size() >= sizeof(code)) std::memcpy(&code, body.data(), sizeof(code));
      error = -code;
      return Next::kDone;
    }
    take(body);
    if (!is_dump) return Next::kDone;
    bytes = bytes.subspan(std::min(aligned(header.nlmsg_len), bytes.size()));
  }
  return Next::kMore;
}

}  // namespace

uint64_t Attribute::number() const {
  uint64_t number = 0;
  if (value.size() == 4 || value.size() == 8) std::memcpy(&number, value.data(), value.size());
  if (value.size() == 2) std::memcpy(&number, value.data(), 2);
  return number;
}

std::vector<Attribute> attributes_of(std::span<const uint8_t> bytes) {
  std::vector<Attribute> attributes;
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header = {};
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > bytes.size()) break;
    const auto type = static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK);
    attributes.push_back({type, bytes.subspan(sizeof(header), header.nla_len - sizeof(header))});
    bytes = bytes.subspan(std::min(aligned(header.nla_len), bytes.size()));
  }
  return attributes;
}

Request::Request(uint16_t type, uint16_t flags) {
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  add_fixed(&header, sizeof(header));
}

void Request::add_fixed(const void* data, size_t bytes) {
  const auto* first = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), first, first + bytes);
  bytes_.resize(aligned(bytes_.size()), 0);
}

void Request::add_attribute(uint16_t type, const void* data, size_t bytes) {
  const nlattr header = {static_cast<uint16_t>(sizeof(nlattr) + bytes), type};
  add_fixed(&header, sizeof(header));
  add_fixed(data, bytes);
}

std::span<const uint8_t> Request::finish() {
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));
  return bytes_;
}

int ask(int protocol, Request request, const std::function<void(std::span<const uint8_t>)>& take) {
  const Socket socket(protocol);
  const std::span<const uint8_t> bytes = request.finish();
  nlmsghdr header = {};
  std::memcpy(&header, bytes.data(), sizeof(header));
  const bool is_dump = (header.nlmsg_flags & NLM_F_DUMP) != 0;
  if (send(socket.get(), bytes.data(), bytes.size(), 0) < 0) return errno;
  std::vector<uint8_t> answer(kAnswerBytes);
  int error = 0;
  for (int i = 0; i < kAnswersMax; i++) {
    const ssize_t received = recv(socket.get(), answer.data(), answer.size(), 0);
    if (received < 0) return errno;
    if (read_messages({answer.data(), static_cast<size_t>(received)}, is_dump, error, take) == Next::kDone)
      break;
  }
  return error;
}

}  // namespace nest::facts
