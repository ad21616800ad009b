// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

constexpr size_t kHugePageBytes = 2u << 20;
constexpr int kNodesMax = 64;

/// Preferred, not bound: packets on a far node are better than no packets.
void prefer_node(void* address, size_t bytes, int node) {
  if (node < 0 || node >= kNodesMax) return;
  const unsigned long mask = 1ul << node;
  if (syscall(SYS_mbind, address, bytes, MPOL_PREFERRED, &mask, kNodesMax + 1, 0) != 0 && errno != ENOSYS)
    throw system_failure(errno, "memory cannot be taken on NUMA node " + std::to_string(node));
}

Failure unsealed(const std::string& message) {
  return Failure(NEST_FAST_STATUS_DESCRIPTOR, message,
                 "send a memfd sealed with F_SEAL_WRITE, F_SEAL_GROW and F_SEAL_SHRINK");
}

}  // namespace

Pages::~Pages() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

Pages packet_memory(size_t bytes, int node) {
  const size_t rounded = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* address = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
  if (address == MAP_FAILED) {
    address = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags, -1, 0);
    if (address == MAP_FAILED) throw system_failure(errno, "no memory for packets");
    madvise(address, rounded, MADV_HUGEPAGE);
  }
  Pages pages(address, rounded);
  prefer_node(address, rounded, node);
  return pages;
}

SharedMemory shared_memory(const std::string& name, size_t bytes, int node) {
  Descriptor descriptor(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor) throw system_failure(errno, "no shared memory");
  if (ftruncate(descriptor.get(), static_cast<off_t>(bytes)) != 0)
    throw system_failure(errno, "no shared memory of " + std::to_string(bytes) + " bytes");
  if (fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    throw system_failure(errno, "shared memory cannot be sealed");
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (address == MAP_FAILED) throw system_failure(errno, "shared memory cannot be mapped");
  Pages pages(address, bytes);
  prefer_node(address, bytes, node);
  return {std::move(descriptor), std::move(pages)};
}

Descriptor read_only(const Descriptor& memory) {
  const std::string path = "/proc/self/fd/" + std::to_string(memory.get());
  Descriptor copy(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!copy) throw system_failure(errno, "shared memory cannot be opened for reading");
  return copy;
}

Pages map_sealed(int descriptor, size_t bytes) {
  constexpr int kNeeded = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) throw unsealed("the descriptor is not a memfd");
  if ((seals & kNeeded) != kNeeded) throw unsealed("the table image can still be changed by its sender");
  struct statfs place = {};
  // Huge pages that are not there at the first touch would end this process.
  if (fstatfs(descriptor, &place) != 0 || place.f_type == HUGETLBFS_MAGIC)
    throw unsealed("the memfd is of huge pages");
  struct stat facts = {};
  if (fstat(descriptor, &facts) != 0) throw system_failure(errno, "the table image cannot be read");
  if (bytes == 0 || facts.st_size < 0 || static_cast<size_t>(facts.st_size) != bytes)
    throw unsealed("the memfd has not the size the message says");
  // Private: kernels before 6.7 refuse a shared mapping of what is sealed against writing.
  void* address = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) throw system_failure(errno, "the table image cannot be mapped");
  return {address, bytes};
}

}  // namespace nest::fast
