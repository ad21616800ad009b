// SPDX-License-Identifier: AGPL-3.0-only
// What the command line prints.
#pragma once

#include <string>

#include "fastpathd/protocol.h"

namespace nest::fast {

/// Quoted and escaped.
std::string json_text(const std::string& text);

/// A port with its counters.
std::string json_port(const nest_fast_port& port, const nest_fast_counters& counters);

/// Counters of a port, with what was lost before they could count it.
std::string json_stats(const nest_fast_port_stats& stats);

/// The counters alone, as an object.
std::string json_counters(const nest_fast_counters& counters);

}  // namespace nest::fast
