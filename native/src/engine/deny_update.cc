// SPDX-License-Identifier: AGPL-3.0-only
#include "engine/deny_update.h"

#include <cstring>
#include <string>

#include "engine/prefix.h"

namespace nest {
namespace {

[[noreturn]] void refuse(const char* what, size_t index) {
  throw Error(Code::kImageInvalid,
              std::string("the change of the deny lists is invalid: ") + what + " (entry " +
                  std::to_string(index) + ")",
              "use the agent of the same version as this data path");
}

template <typename Entry>
std::vector<Entry> read(std::span<const uint8_t> bytes) {
  if (bytes.size() % sizeof(Entry) != 0) refuse("it ends inside an entry", bytes.size() / sizeof(Entry));
  std::vector<Entry> entries(bytes.size() / sizeof(Entry));
  if (!bytes.empty()) std::memcpy(entries.data(), bytes.data(), bytes.size());
  if (entries.size() > NEST_DENY_ROOM) refuse("there are too many", entries.size());
  for (size_t i = 0; i < entries.size(); i++) {
    if (!is_prefix(entries[i].prefix)) refuse("it is no prefix", i);
    if (entries[i].deny.list >= NEST_DENY_LISTS_MAX) refuse("its list does not exist", i);
  }
  return entries;
}

}  // namespace

DenyUpdate::DenyUpdate(uint32_t family, std::span<const uint8_t> add, std::span<const uint8_t> remove) {
  if (family == 4) {
    stored4_ = read<nest_image_deny4>(add);
    removed4_ = read<nest_image_deny4>(remove);
  } else if (family == 6) {
    stored6_ = read<nest_image_deny6>(add);
    removed6_ = read<nest_image_deny6>(remove);
  } else {
    refuse("its address family is not 4 or 6", 0);
  }
}

}  // namespace nest
