// SPDX-License-Identifier: AGPL-3.0-only
// Values of the engine as the JavaScript values of native/addon.ts, and arguments the other way. All copies:
// nothing is shared between the threads.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "backend/backend.h"

namespace nest::binding {

Napi::Value to_value(Napi::Env env, const AttachedInterface& interface);
Napi::Value to_value(Napi::Env env, const Counters& counters);
Napi::Value to_value(Napi::Env env, const std::vector<EngineProbe>& probes);
Napi::Value to_value(Napi::Env env, const InterfaceFacts& facts);
Napi::Value to_value(Napi::Env env, const LocalState& state);
Napi::Value to_value(Napi::Env env, const Inspection& inspection);
Napi::Value to_value(Napi::Env env, const LocalCounters& counters);
Napi::Value to_value(Napi::Env env, const TraceResult& result);
Napi::Value to_buffer(Napi::Env env, const std::vector<nest_record>& records);

/// Arguments; a TypeError when they are not of that kind.
std::string string_argument(const Napi::CallbackInfo& info, size_t position, const char* name);
uint32_t number_argument(const Napi::CallbackInfo& info, size_t position, const char* name);
bool boolean_argument(const Napi::CallbackInfo& info, size_t position, const char* name);
std::vector<uint32_t> numbers_argument(const Napi::CallbackInfo& info, size_t position, const char* name);
/// Rows of family (4 or 6), flags (1: the gateway alone), two bytes of padding, 16 bytes of address.
std::vector<NextHopQuery> next_hops_argument(const Napi::CallbackInfo& info, size_t position,
                                             const char* name);
std::vector<uint8_t> bytes_argument(const Napi::CallbackInfo& info, size_t position, const char* name);

}  // namespace nest::binding
