// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/promiscuous.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

namespace nest::fast {

// Protocol 0: the socket itself gets no packets.
PromiscuousHold::PromiscuousHold(uint32_t interface)
    : socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  packet_mreq membership = {};
  membership.mr_ifindex = static_cast<int>(interface);
  membership.mr_type = PACKET_MR_PROMISC;
  if (socket_.get() >= 0)
    setsockopt(socket_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership));
}

}  // namespace nest::fast
