// SPDX-License-Identifier: AGPL-3.0-only
#include "arguments.h"

#include <sstream>
#include <stdexcept>

namespace nest::bench {
namespace {

uint64_t parse(const std::string& name, const std::string& text) {
  size_t used = 0;
  uint64_t number = 0;
  try {
    number = std::stoull(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size()) throw std::invalid_argument("--" + name + " must be a number");
  return number;
}

}  // namespace

Arguments::Arguments(const std::vector<std::string>& words, const std::set<std::string>& known) {
  for (size_t i = 0; i < words.size(); i += 2) {
    const std::string name = words[i].starts_with("--") ? words[i].substr(2) : "";
    if (!known.contains(name)) throw std::invalid_argument("unknown option " + words[i]);
    if (i + 1 == words.size()) throw std::invalid_argument("--" + name + " needs a value");
    values_[name] = words[i + 1];
  }
}

std::string Arguments::text(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw std::invalid_argument("--" + name + " is needed");
  return found->second;
}

uint64_t Arguments::number(const std::string& name, uint64_t otherwise) const {
  return has(name) ? number(name) : otherwise;
}

uint64_t Arguments::number(const std::string& name) const {
  return parse(name, text(name));
}

std::vector<uint64_t> Arguments::numbers(const std::string& name, const std::string& otherwise) const {
  std::vector<uint64_t> numbers;
  std::istringstream list(has(name) ? text(name) : otherwise);
  for (std::string part; std::getline(list, part, ',');) numbers.push_back(parse(name, part));
  return numbers;
}

std::vector<uint8_t> Arguments::bytes(const std::string& name) const {
  const std::string digits = text(name);
  const bool is_hex =
      digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos && digits.size() % 2 == 0;
  if (!is_hex || digits.empty()) throw std::invalid_argument("--" + name + " must be hexadecimal bytes");
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

}  // namespace nest::bench
