// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fstream>

#include "fastpathd/failure.h"
#include "fastpathd/topology.h"

namespace nest::fast {

Tap::Tap(const std::string& name)
    : name_(name), descriptor_(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  if (!descriptor_) {
    const Failure cause = system_failure(errno, "/dev/net/tun");
    throw Failure(cause.status, cause.what(), "give this process /dev/net/tun, or choose another --pass");
  }
  ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(descriptor_.get(), TUNSETIFF, &request) != 0) throw system_failure(errno, "tap " + name);
  interface_ = if_nametoindex(name.c_str());
  // Where IPv6 is off the file is missing, and nothing needs to be done.
  std::ofstream("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6") << 1;
  set_up(name);
}

bool Tap::write(const uint8_t* packet, size_t bytes) const {
  return ::write(descriptor_.get(), packet, bytes) == static_cast<ssize_t>(bytes);
}

size_t Tap::read(uint8_t* packet, size_t bytes_max) const {
  const ssize_t bytes = ::read(descriptor_.get(), packet, bytes_max);
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

}  // namespace nest::fast
