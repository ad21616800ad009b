// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/control_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace nest::fast {
namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    throw Failure(NEST_FAST_STATUS_USAGE, "the path of the control socket is longer than 107 bytes",
                  "give a shorter --control");
  }
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

Descriptor new_socket() {
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw system_failure(errno, "Unix socket");
  return socket;
}

/// Removes what a killed process left; a living one is left alone.
void remove_leftover(const std::string& path, const sockaddr_un& address) {
  struct stat facts = {};
  if (lstat(path.c_str(), &facts) != 0) return;
  const Descriptor probe = new_socket();
  const bool is_answered =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;
  if (!S_ISSOCK(facts.st_mode) || is_answered) {
    throw Failure(NEST_FAST_STATUS_USAGE, path + " is in use",
                  "stop the other process, or give another --control");
  }
  unlink(path.c_str());
}

bool is_trusted(int connection) {
  ucred peer = {};
  socklen_t bytes = sizeof(peer);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

/// All descriptors of a message, owned from now on.
std::vector<Descriptor> descriptors_of(msghdr& message) {
  std::vector<Descriptor> all;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(number));
      all.emplace_back(number);
    }
  }
  return all;
}

Reply text_reply(const Failure& failure) {
  const std::string text = std::string(failure.what()) + "\n" + failure.step;
  const size_t most = NEST_FAST_MESSAGE_BYTES_MAX - sizeof(nest_fast_header);
  return {.body = {text.begin(), text.begin() + static_cast<ptrdiff_t>(std::min(text.size(), most))},
          .descriptors = {},
          .owned = {}};
}

/// Why the bytes are no request; OK when they are one.
Status check_header(const nest_fast_header& header, size_t bytes) {
  if (bytes < sizeof(header) || header.magic != NEST_FAST_MAGIC || header.status != 0)
    return NEST_FAST_STATUS_MESSAGE;
  return header.bytes == bytes - sizeof(header) ? NEST_FAST_STATUS_OK : NEST_FAST_STATUS_MESSAGE;
}

}  // namespace

ControlServer::ControlServer(const std::string& path, Handler handler)
    : path_(path), handler_(std::move(handler)), listener_(new_socket()) {
  const sockaddr_un address = address_of(path);
  remove_leftover(path, address);
  const mode_t before = umask(0177);
  const int result = bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  umask(before);
  if (result != 0) throw system_failure(error, "the control socket " + path);
  if (listen(listener_.get(), NEST_FAST_CONNECTIONS_MAX) != 0)
    throw system_failure(errno, "the control socket " + path);
}

ControlServer::~ControlServer() {
  unlink(path_.c_str());
}

std::vector<int> ControlServer::descriptors() const {
  std::vector<int> all = {listener_.get()};
  for (const Descriptor& connection : connections_) all.push_back(connection.get());
  return all;
}

void ControlServer::handle(int descriptor) {
  if (descriptor == listener_.get()) {
    accept();
    return;
  }
  if (serve(descriptor)) return;
  std::erase_if(connections_, [&](const Descriptor& each) { return each.get() == descriptor; });
}

void ControlServer::accept() {
  Descriptor connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection || connections_.size() >= NEST_FAST_CONNECTIONS_MAX || !is_trusted(connection.get()))
    return;
  connections_.push_back(std::move(connection));
}

bool ControlServer::serve(int connection) {
  // One byte and one descriptor more than allowed: too much shows, and is not cut silently.
  std::array<uint8_t, NEST_FAST_MESSAGE_BYTES_MAX + 1> bytes;
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE((NEST_FAST_DESCRIPTORS_MAX + 1) * sizeof(int))> control;
  iovec part = {bytes.data(), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  Request request;
  request.descriptors = descriptors_of(message);
  if (count == 0) return false;

  nest_fast_header header = {};
  std::memcpy(&header, bytes.data(), std::min(static_cast<size_t>(count), sizeof(header)));
  const bool is_cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  const bool is_wrong = is_cut || request.descriptors.size() > NEST_FAST_DESCRIPTORS_MAX ||
                        check_header(header, static_cast<size_t>(count)) != NEST_FAST_STATUS_OK;
  if (is_wrong) {
    const Failure failure(NEST_FAST_STATUS_MESSAGE, "this is no request of this protocol", "see protocol.h");
    answer(connection, header, text_reply(failure), failure.status);
    return false;
  }
  request.kind = header.kind;
  request.body = {bytes.data() + sizeof(header), header.bytes};
  try {
    return answer(connection, header, handler_(request), NEST_FAST_STATUS_OK);
  } catch (const Failure& failure) {
    const bool goes_on =
        failure.status != NEST_FAST_STATUS_MESSAGE && failure.status != NEST_FAST_STATUS_VERSION;
    return answer(connection, header, text_reply(failure), failure.status) && goes_on;
  } catch (const std::exception& error) {
    const Failure failure(NEST_FAST_STATUS_SYSTEM, error.what(), "look at this process's log");
    return answer(connection, header, text_reply(failure), failure.status);
  }
}

bool ControlServer::answer(int connection, const nest_fast_header& request, const Reply& reply,
                           Status status) const {
  nest_fast_header header = {.magic = NEST_FAST_MAGIC,
                             .kind = request.kind,
                             .status = static_cast<uint16_t>(status),
                             .id = request.id,
                             .bytes = static_cast<uint32_t>(reply.body.size())};
  std::array<iovec, 2> parts = {iovec{&header, sizeof(header)},
                                iovec{const_cast<uint8_t*>(reply.body.data()), reply.body.size()}};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(NEST_FAST_DESCRIPTORS_MAX * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (!reply.descriptors.empty()) {
    const size_t bytes = reply.descriptors.size() * sizeof(int);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), reply.descriptors.data(), bytes);
  }
  // A peer that does not read its answers is let go, never waited for.
  return sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace nest::fast
