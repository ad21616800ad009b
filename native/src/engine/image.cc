// SPDX-License-Identifier: AGPL-3.0-only
#include "engine/image.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <tuple>

#include "engine/prefix.h"

namespace nest {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the image is little-endian and used in place");

constexpr uint32_t kPriorityMax = 1000;
constexpr uint32_t kPortMax = 65535;
constexpr uint32_t kWeightMax = 1000;
constexpr uint8_t kDscpMax = 63;
constexpr uint64_t kPacketsPerSecondMax = 1'000'000'000;
constexpr uint64_t kBytesPerSecondMax = 1'000'000'000'000;
constexpr uint64_t kBurstPacketsMax = 1'000'000'000;
constexpr uint64_t kBurstBytesMin = 1514;
constexpr uint64_t kBurstBytesMax = 4'000'000'000;
constexpr uint32_t kIntervalsPerSetMax = kPortMax + 1;
/// Names and explanation together; far above what the limits of the tables allow.
constexpr uint32_t kTextBytesMax = 256u << 20;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(Code::kImageInvalid, "the table image is invalid: " + what,
              "compile the policy again with the same version of Nest as this agent");
}

void check(bool is_right, const char* what) {
  if (!is_right) refuse(what);
}

void check_at(bool is_right, const char* what, size_t index) {
  if (!is_right) refuse(std::string(what) + " (entry " + std::to_string(index) + ")");
}

/// Hands out the sections one after the other.
class Sections {
 public:
  explicit Sections(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <typename Entry>
  std::span<const Entry> next(uint32_t count) {
    align();
    const uint64_t size = uint64_t{count} * sizeof(Entry);
    check(size <= bytes_.size() - offset_, "it is shorter than its header says");
    const auto* first = reinterpret_cast<const Entry*>(bytes_.data() + offset_);
    offset_ += static_cast<size_t>(size);
    return {first, count};
  }

  void end() const { check(offset_ == bytes_.size(), "it is longer than its header says"); }

 private:
  void align() {
    while (offset_ % 8 != 0) {
      check(offset_ < bytes_.size() && bytes_[offset_] == 0, "padding between sections is not zero");
      offset_++;
    }
  }

  std::span<const uint8_t> bytes_;
  size_t offset_ = 0;
};

void check_header(const nest_image_header& header) {
  check(std::memcmp(header.magic, NEST_IMAGE_MAGIC, sizeof(header.magic)) == 0,
        "it does not begin with " NEST_IMAGE_MAGIC);
  check(header.version == NEST_IMAGE_VERSION, "its version is not known");
  check((header.flags & ~(NEST_FLAG_ENFORCE | NEST_FLAG_DEFAULT_DENY | NEST_FLAG_DENY)) == 0,
        "it has unknown flags");
  check(header.identity4_count <= NEST_IDENTITIES_MAX, "too many IPv4 prefixes");
  check(header.identity6_count <= NEST_IDENTITIES_MAX, "too many IPv6 prefixes");
  check(header.pair_count <= NEST_PAIRS_MAX, "too many pairs");
  check(header.port_interval_count <= NEST_PORT_INTERVALS_MAX, "too many port intervals");
  check(header.mapping_count <= NEST_MAPPINGS_MAX, "too many mappings");
  check(header.action_count <= header.mapping_count, "more actions than mappings");
  check(header.deny4_count <= NEST_DENY_PREFIXES_MAX, "too many IPv4 prefixes in deny lists");
  check(header.deny6_count <= NEST_DENY_PREFIXES_MAX, "too many IPv6 prefixes in deny lists");
  check(header.deny_list_count <= NEST_DENY_LISTS_MAX, "too many deny lists");
  check(((header.flags & NEST_FLAG_DENY) != 0) == (header.deny_list_count > 0),
        "its flags and its deny lists contradict each other");
  check(header.balancer_count <= NEST_BALANCERS_MAX, "too many balancers");
  check(header.backend_count <= NEST_BACKENDS_MAX, "too many backends");
  check(header.names_bytes <= kTextBytesMax && header.explain_bytes <= kTextBytesMax, "too much text");
  for (const uint32_t word : header.reserved) check(word == 0, "a reserved word is not zero");
}

/// Each is a prefix, and they are sorted by address, then length.
template <typename Entry>
void check_prefixes(std::span<const Entry> entries) {
  for (size_t i = 0; i < entries.size(); i++) {
    const auto& prefix = entries[i].prefix;
    check_at(is_prefix(prefix), "a prefix is too long, or has bits behind its length", i);
    if (i == 0) continue;
    const auto& previous = entries[i - 1].prefix;
    const int order = std::memcmp(previous.address, prefix.address, sizeof(prefix.address));
    check_at(order < 0 || (order == 0 && previous.length < prefix.length),
             "prefixes are not sorted, or one is there twice", i);
  }
}

template <typename Entry>
void check_identities(std::span<const Entry> entries, const nest_image_header& header) {
  check_prefixes(entries);
  for (size_t i = 0; i < entries.size(); i++) {
    const Entry& entry = entries[i];
    check_at(entry.identity.source <= header.source_class_count, "a source class does not exist", i);
    check_at(entry.identity.destination <= header.destination_class_count,
             "a destination class does not exist", i);
  }
}

template <typename Entry>
void check_deny(std::span<const Entry> entries, const nest_image_header& header) {
  check_prefixes(entries);
  for (size_t i = 0; i < entries.size(); i++) {
    check_at(entries[i].deny.list < header.deny_list_count, "a deny list does not exist", i);
  }
}

void check_mappings(std::span<const nest_image_mapping> mappings, std::span<const uint8_t> names) {
  std::span<const uint8_t> previous;
  for (size_t i = 0; i < mappings.size(); i++) {
    const nest_image_mapping& mapping = mappings[i];
    check_at(mapping.name_offset <= names.size() && mapping.name_bytes <= names.size() - mapping.name_offset,
             "a mapping's name lies outside the names", i);
    check_at(mapping.name_bytes > 0, "a mapping has no name", i);
    check_at(mapping.deny <= 1 && mapping.pad == 0, "a mapping's action is not known", i);
    check_at(mapping.priority <= kPriorityMax, "a priority is above 1000", i);
    const auto name = names.subspan(mapping.name_offset, mapping.name_bytes);
    const bool is_sorted =
        i == 0 || std::lexicographical_compare(previous.begin(), previous.end(), name.begin(), name.end());
    check_at(is_sorted, "mappings are not sorted by name, or a name is there twice", i);
    previous = name;
  }
}

/// A match has to be one of the image's mappings, with that mapping's priority and action.
bool is_match(uint32_t match, std::span<const nest_image_mapping> mappings) {
  if (match == NEST_MATCH_NONE) return true;
  const uint32_t index = NEST_MATCH_MAPPING(match);
  if (match >> 16 == 0 || index >= mappings.size()) return false;
  return NEST_MATCH_PRIORITY(match) == mappings[index].priority &&
         NEST_MATCH_IS_DENY(match) == (mappings[index].deny == 1);
}

/// Checks all intervals once; returns for each how many follow it in its set, itself included (0: not the
/// first).
std::vector<uint32_t> check_intervals(std::span<const nest_port_interval> intervals,
                                      std::span<const nest_image_mapping> mappings) {
  std::vector<uint32_t> set_sizes(intervals.size(), 0);
  size_t first = 0;
  for (size_t i = 0; i < intervals.size(); i++) {
    const nest_port_interval& interval = intervals[i];
    check_at(interval.start <= kPortMax, "a port is above 65535", i);
    check_at(is_match(interval.match, mappings), "a port interval names no mapping of this image", i);
    check_at(i > 0 || interval.start == 0, "the first port interval does not start at 0", i);
    if (interval.start == 0) first = i;
    check_at(i == first || intervals[i - 1].start < interval.start, "port intervals are not sorted", i);
    set_sizes[first]++;
  }
  return set_sizes;
}

void check_pairs(std::span<const nest_image_pair> pairs, const nest_image_header& header,
                 const std::vector<uint32_t>& set_sizes, std::span<const nest_image_mapping> mappings) {
  for (size_t i = 0; i < pairs.size(); i++) {
    const nest_pair& key = pairs[i].key;
    const nest_port_set& ports = pairs[i].ports;
    check_at(key.source <= header.source_class_count, "a pair's source class does not exist", i);
    check_at(key.destination <= header.destination_class_count, "a pair's destination class does not exist",
             i);
    check_at(key.l4 >= NEST_L4_TCP && key.l4 <= NEST_L4_OTHER, "a pair's transport class does not exist", i);
    check_at(key.pad[0] == 0 && key.pad[1] == 0 && key.pad[2] == 0, "a pair's padding is not zero", i);
    if (ports.count == 1) {
      check_at(is_match(ports.first, mappings), "a pair names no mapping of this image", i);
    } else {
      check_at(ports.count >= 2 && ports.count <= kIntervalsPerSetMax, "a port set is empty or too large", i);
      check_at(ports.first < set_sizes.size() && ports.count <= set_sizes[ports.first],
               "a port set lies outside the port intervals", i);
    }
    if (i == 0) continue;
    const nest_pair& previous = pairs[i - 1].key;
    check_at(std::tie(previous.source, previous.destination, previous.l4) <
                 std::tie(key.source, key.destination, key.l4),
             "pairs are not sorted, or one is there twice", i);
  }
}

/// A rate and the depth of its bucket: both, within their limits, or neither.
bool is_limit(uint64_t rate, uint64_t rate_max, uint64_t burst, uint64_t burst_min, uint64_t burst_max) {
  if (rate == 0) return burst == 0;
  return rate <= rate_max && burst >= burst_min && burst <= burst_max;
}

/// One kind of source NAT or none, an address exactly when it is asked for, and never beside a balancer.
bool is_source_nat(const nest_action& action) {
  const uint8_t kind = action.flags & (NEST_ACTION_SNAT | NEST_ACTION_MASQUERADE);
  const bool has_address =
      (action.source4 | action.source6[0] | action.source6[1] | action.source6[2] | action.source6[3]) != 0;
  if (kind == 0) return !has_address;
  return action.balancer == 0 && std::has_single_bit(kind) && has_address == (kind == NEST_ACTION_SNAT);
}

void check_actions(std::span<const nest_image_action> actions, std::span<const nest_image_mapping> mappings,
                   std::span<const nest_balancer> balancers) {
  constexpr uint8_t kFlags = NEST_ACTION_LIMIT_PER_SOURCE | NEST_ACTION_SNAT | NEST_ACTION_MASQUERADE;
  for (size_t i = 0; i < actions.size(); i++) {
    const nest_action& action = actions[i].action;
    check_at(actions[i].mapping < mappings.size(), "an action is of no mapping of this image", i);
    check_at(i == 0 || actions[i - 1].mapping < actions[i].mapping,
             "actions are not sorted, or one is there twice", i);
    check_at(actions[i].pad == 0 && action.pad[0] == 0 && action.pad[1] == 0 && action.reserved == 0,
             "an action's padding is not zero", i);
    check_at(is_limit(action.packets_per_second, kPacketsPerSecondMax, action.burst_packets, 1,
                      kBurstPacketsMax) &&
                 is_limit(action.bytes_per_second, kBytesPerSecondMax, action.burst_bytes, kBurstBytesMin,
                          kBurstBytesMax),
             "a rate limit is out of its range", i);
    check_at(action.dscp <= kDscpMax || action.dscp == NEST_DSCP_KEEP, "a DSCP is above 63", i);
    check_at((action.flags & ~kFlags) == 0 && is_source_nat(action),
             "an action's source NAT contradicts itself", i);
    const bool is_balanced = action.balancer != 0;
    check_at(!is_balanced || (action.balancer <= balancers.size() &&
                              balancers[action.balancer - 1].mapping == actions[i].mapping),
             "an action names a balancer that is not its own", i);
    check_at(mappings[actions[i].mapping].deny == 0, "a mapping that denies has a balancer", i);
  }
}

/// Balancers own the backends in a row, without a gap; rings are numbered in the order of use.
void check_balancers(const Tables& tables) {
  uint32_t backends = 0;
  uint32_t rings = 0;
  for (size_t i = 0; i < tables.balancers.size(); i++) {
    const nest_balancer& balancer = tables.balancers[i];
    check_at(balancer.mapping < tables.mapping_count, "a balancer is of no mapping of this image", i);
    check_at(i == 0 || tables.balancers[i - 1].mapping < balancer.mapping,
             "balancers are not sorted, or one is there twice", i);
    check_at(balancer.nat >= NEST_NAT_DESTINATION && balancer.nat <= NEST_NAT_DIRECT &&
                 balancer.by_source <= 1 && balancer.pad == 0,
             "a balancer's kind is not known", i);
    check_at(balancer.first_backend == backends && balancer.backend_count > 0 &&
                 balancer.backend_count <= tables.backends.size() - backends,
             "a balancer's backends are not those that follow", i);
    const auto own = tables.backends.subspan(backends, balancer.backend_count);
    const auto ring_of = [&](uint8_t family) {
      const bool has_any =
          std::ranges::any_of(own, [&](const nest_backend& each) { return each.family == family; });
      return has_any ? rings++ : NEST_RING_NONE;
    };
    const uint32_t ring4 = ring_of(4);
    const uint32_t ring6 = ring_of(6);
    check_at(balancer.ring4 == ring4 && balancer.ring6 == ring6,
             "a balancer's rings are not numbered in order", i);
    for (const nest_backend& each : own) check_at(each.balancer == i, "a backend is of another balancer", i);
    backends += balancer.backend_count;
  }
  check(backends == tables.backends.size(), "there are backends without a balancer");
}

void check_backends(std::span<const nest_backend> backends) {
  for (size_t i = 0; i < backends.size(); i++) {
    const nest_backend& each = backends[i];
    check_at(each.family == 4 || each.family == 6, "a backend's family is not known", i);
    check_at(each.family == 6 || (each.address[1] | each.address[2] | each.address[3]) == 0,
             "an IPv4 backend has more than an address", i);
    check_at(each.weight <= kWeightMax, "a backend's weight is above 1000", i);
    check_at(each.state <= NEST_BACKEND_DOWN, "a backend's state is not known", i);
    check_at(each.pad[0] == 0 && each.pad[1] == 0, "a backend's padding is not zero", i);
  }
}

}  // namespace

Image::Image(std::span<const uint8_t> bytes) {
  check(bytes.size() >= sizeof(nest_image_header), "it is shorter than its header");
  storage_.resize((bytes.size() + 7) / 8);
  std::memcpy(storage_.data(), bytes.data(), bytes.size());
  Sections sections({reinterpret_cast<const uint8_t*>(storage_.data()), bytes.size()});

  const nest_image_header& header = sections.next<nest_image_header>(1)[0];
  check_header(header);
  tables_.flags = header.flags;
  tables_.mapping_count = header.mapping_count;
  tables_.identities4 = sections.next<nest_image_identity4>(header.identity4_count);
  tables_.identities6 = sections.next<nest_image_identity6>(header.identity6_count);
  tables_.pairs = sections.next<nest_image_pair>(header.pair_count);
  tables_.port_intervals = sections.next<nest_port_interval>(header.port_interval_count);
  const auto mappings = sections.next<nest_image_mapping>(header.mapping_count);
  tables_.actions = sections.next<nest_image_action>(header.action_count);
  tables_.deny4 = sections.next<nest_image_deny4>(header.deny4_count);
  tables_.deny6 = sections.next<nest_image_deny6>(header.deny6_count);
  tables_.deny_list_count = header.deny_list_count;
  tables_.balancers = sections.next<nest_balancer>(header.balancer_count);
  tables_.backends = sections.next<nest_backend>(header.backend_count);
  const auto names = sections.next<uint8_t>(header.names_bytes);
  sections.next<uint8_t>(header.explain_bytes);
  sections.end();

  check_identities(tables_.identities4, header);
  check_identities(tables_.identities6, header);
  check_mappings(mappings, names);
  check_pairs(tables_.pairs, header, check_intervals(tables_.port_intervals, mappings), mappings);
  check_deny(tables_.deny4, header);
  check_deny(tables_.deny6, header);
  check_backends(tables_.backends);
  check_balancers(tables_);
  check_actions(tables_.actions, mappings, tables_.balancers);
}

}  // namespace nest
