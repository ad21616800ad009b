// SPDX-License-Identifier: AGPL-3.0-only
// Command line of nest-packet: `--name value` pairs, everything else is an error.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace nest::bench {

class Arguments {
 public:
  /// Throws std::invalid_argument for an option not in `known`, or one without a value.
  Arguments(const std::vector<std::string>& words, const std::set<std::string>& known);

  bool has(const std::string& name) const { return values_.contains(name); }
  /// Throws std::invalid_argument when absent and no default is given.
  std::string text(const std::string& name) const;
  uint64_t number(const std::string& name, uint64_t otherwise) const;
  uint64_t number(const std::string& name) const;
  std::vector<uint64_t> numbers(const std::string& name, const std::string& otherwise) const;
  /// Hexadecimal digits.
  std::vector<uint8_t> bytes(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace nest::bench
