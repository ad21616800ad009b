// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace nest::fast {
namespace {

/// One more than the daemon takes, so that its refusal can be seen.
constexpr size_t kDescriptorsMax = NEST_FAST_DESCRIPTORS_MAX + 1;

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

void send_message(int socket, std::span<const uint8_t> bytes, std::span<const int> descriptors) {
  if (descriptors.size() > kDescriptorsMax) fail(EINVAL, "too many descriptors");
  iovec part = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kDescriptorsMax * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) fail(errno, "the request cannot be sent");
}

void take_descriptors(msghdr& message, std::vector<xdp::Descriptor>& all) {
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= each->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(each) + at, sizeof(number));
      all.emplace_back(number);
    }
  }
}

}  // namespace

ControlClient::ControlClient(const std::string& path)
    : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  if (!socket_) fail(errno, "Unix socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) fail(ENAMETOOLONG, "control socket");
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    fail(errno, "control socket");
}

ControlClient::Answer ControlClient::exchange(std::span<const uint8_t> message,
                                              std::span<const int> descriptors, int timeout_ms) {
  send_message(socket_.get(), message, descriptors);
  pollfd ready = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
  const int count = poll(&ready, 1, timeout_ms);
  if (count == 0) fail(ETIMEDOUT, "no answer");
  if (count < 0) fail(errno, "no answer");
  Answer answer;
  answer.body.resize(NEST_FAST_MESSAGE_BYTES_MAX);
  iovec part = {answer.body.data(), answer.body.size()};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kDescriptorsMax * sizeof(int))> control = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t bytes = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  if (bytes < 0) fail(errno, "no answer");
  take_descriptors(header, answer.descriptors);
  if (bytes == 0) fail(ECONNRESET, "the connection was closed");
  nest_fast_header reply = {};
  if (static_cast<size_t>(bytes) < sizeof(reply)) fail(EPROTO, "the answer is too short");
  std::memcpy(&reply, answer.body.data(), sizeof(reply));
  answer.body.resize(static_cast<size_t>(bytes));
  answer.body.erase(answer.body.begin(), answer.body.begin() + sizeof(reply));
  if (reply.magic != NEST_FAST_MAGIC || reply.bytes != answer.body.size())
    fail(EPROTO, "the answer is malformed");
  answer.status = reply.status;
  return answer;
}

ControlClient::Answer ControlClient::call(uint16_t kind, std::span<const uint8_t> body,
                                          std::span<const int> descriptors, int timeout_ms) {
  if (body.size() > NEST_FAST_MESSAGE_BYTES_MAX - sizeof(nest_fast_header)) fail(EMSGSIZE, "request");
  const nest_fast_header header = {.magic = NEST_FAST_MAGIC,
                                   .kind = kind,
                                   .status = 0,
                                   .id = ++last_id_,
                                   .bytes = static_cast<uint32_t>(body.size())};
  std::vector<uint8_t> message(sizeof(header) + body.size());
  std::memcpy(message.data(), &header, sizeof(header));
  if (!body.empty()) std::memcpy(message.data() + sizeof(header), body.data(), body.size());
  return exchange(message, descriptors, timeout_ms);
}

}  // namespace nest::fast
