// SPDX-License-Identifier: AGPL-3.0-only
#include "binding/convert.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace nest::binding {
namespace {

Napi::BigUint64Array to_array(Napi::Env env, const std::vector<uint64_t>& values) {
  auto array = Napi::BigUint64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value to_value(Napi::Env env, const MappingCounters& counters) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("sequence", counters.sequence);
  object.Set("values", to_array(env, counters.values));
  object.Set("limits", to_array(env, counters.limits));
  object.Set("denyLists", to_array(env, counters.deny_lists));
  object.Set("backends", to_array(env, counters.backends));
  return object;
}

Napi::Value or_null(Napi::Env env, const std::optional<uint32_t>& number) {
  return number ? Napi::Value(Napi::Number::New(env, *number)) : env.Null();
}

template <size_t Bytes>
Napi::Array to_array(Napi::Env env, const std::vector<std::array<uint8_t, Bytes>>& addresses) {
  Napi::Array array = Napi::Array::New(env, addresses.size());
  for (uint32_t i = 0; i < addresses.size(); i++)
    array.Set(i, Napi::Buffer<uint8_t>::Copy(env, addresses[i].data(), Bytes));
  return array;
}

Napi::Value to_array(Napi::Env env, const std::optional<std::vector<std::string>>& texts) {
  if (!texts) return env.Null();
  Napi::Array array = Napi::Array::New(env, texts->size());
  for (uint32_t i = 0; i < texts->size(); i++) array.Set(i, (*texts)[i]);
  return array;
}

[[noreturn]] void refuse(const Napi::CallbackInfo& info, const char* name, const char* kind) {
  throw Napi::TypeError::New(info.Env(), std::string(name) + " must be " + kind);
}

}  // namespace

Napi::Value to_value(Napi::Env env, const AttachedInterface& interface) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", interface.name);
  object.Set("index", interface.index);
  object.Set("mode", interface.mode == AttachMode::kNative ? "native" : "generic");
  object.Set("slot", interface.slot);
  return object;
}

Napi::Value to_value(Napi::Env env, const Counters& counters) {
  Napi::Array interfaces = Napi::Array::New(env, counters.interfaces.size());
  for (uint32_t i = 0; i < counters.interfaces.size(); i++) {
    const InterfaceCounters& each = counters.interfaces[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", each.name);
    object.Set("index", each.index);
    object.Set("reasons", to_array(env, each.reasons));
    interfaces.Set(i, object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("interfaces", interfaces);
  object.Set("active", to_value(env, counters.active));
  object.Set("retired", counters.retired ? to_value(env, *counters.retired) : env.Null());
  object.Set("losses", to_array(env, counters.losses));
  object.Set("stats", to_array(env, counters.stats));
  return object;
}

Napi::Value to_value(Napi::Env env, const std::vector<EngineProbe>& probes) {
  Napi::Array array = Napi::Array::New(env, probes.size());
  for (uint32_t i = 0; i < probes.size(); i++) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("engine", probes[i].engine);
    object.Set("available", probes[i].is_available);
    object.Set("reason", probes[i].reason);
    array.Set(i, object);
  }
  return array;
}

Napi::Value to_value(Napi::Env env, const InterfaceFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", facts.name);
  object.Set("index", facts.index);
  object.Set("driver", facts.driver);
  object.Set("receiveQueues", facts.receive_queues);
  object.Set("sendQueues", facts.send_queues);
  object.Set("numaNode", or_null(env, facts.numa_node));
  object.Set("mtu", facts.mtu);
  object.Set("speedMbps", or_null(env, facts.speed_mbps));
  object.Set("xdpFeatures", to_array(env, facts.xdp_features));
  object.Set("addresses4", to_array(env, facts.addresses4));
  object.Set("addresses6", to_array(env, facts.addresses6));
  return object;
}

Napi::Value to_value(Napi::Env env, const Inspection& inspection) {
  const auto names = [&](const std::vector<std::string>& texts) {
    Napi::Array array = Napi::Array::New(env, texts.size());
    for (uint32_t i = 0; i < texts.size(); i++) array.Set(i, texts[i]);
    return array;
  };
  Napi::Array interfaces = Napi::Array::New(env, inspection.interfaces.size());
  for (uint32_t i = 0; i < inspection.interfaces.size(); i++) {
    const Inspection::Interface& each = inspection.interfaces[i];
    Napi::Object row = Napi::Object::New(env);
    row.Set("name", each.name);
    row.Set("index", each.index);
    row.Set("programId", each.program_id);
    row.Set("isCounted", each.is_counted);
    interfaces.Set(i, row);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("interfaces", interfaces);
  object.Set("hooksMissing", names(inspection.hooks_missing));
  object.Set("tablesChanged", names(inspection.tables_changed));
  object.Set("tablesSkipped", names(inspection.tables_skipped));
  return object;
}

Napi::Value to_value(Napi::Env env, const LocalState& state) {
  Napi::Array egress = Napi::Array::New(env, state.egress.size());
  for (uint32_t i = 0; i < state.egress.size(); i++) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", state.egress[i].name);
    object.Set("index", state.egress[i].index);
    object.Set("kind", state.egress[i].kind);
    object.Set("reason", state.egress[i].reason);
    egress.Set(i, object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("attached", state.is_attached);
  object.Set("cgroupPath", state.cgroup_path);
  object.Set("reason", state.reason);
  object.Set("egress", egress);
  return object;
}

Napi::Value to_value(Napi::Env env, const LocalCounters& counters) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("values", to_array(env, counters.values));
  object.Set("reasons", to_array(env, counters.reasons));
  return object;
}

Napi::Value to_value(Napi::Env env, const TraceResult& result) {
  const char* verdict = result.action == XDP_PASS ? "pass" : result.action == XDP_DROP ? "drop" : "other";
  Napi::Object object = Napi::Object::New(env);
  object.Set("trace", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(&result.trace),
                                                  sizeof(result.trace)));
  object.Set("more", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(&result.more),
                                                 sizeof(result.more)));
  object.Set("packet", Napi::Buffer<uint8_t>::Copy(env, result.packet.data(), result.packet.size()));
  object.Set("verdict", verdict);
  object.Set("durationNs", result.duration_ns);
  return object;
}

Napi::Value to_buffer(Napi::Env env, const std::vector<nest_record>& records) {
  return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(records.data()),
                                     records.size() * sizeof(nest_record));
}

std::string string_argument(const Napi::CallbackInfo& info, size_t position, const char* name) {
  if (!info[position].IsString()) refuse(info, name, "a string");
  return info[position].As<Napi::String>().Utf8Value();
}

uint32_t number_argument(const Napi::CallbackInfo& info, size_t position, const char* name) {
  if (!info[position].IsNumber()) refuse(info, name, "a number");
  const double number = info[position].As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= UINT32_MAX && std::floor(number) == number))
    refuse(info, name, "a whole number from 0 to 4294967295");
  return static_cast<uint32_t>(number);
}

bool boolean_argument(const Napi::CallbackInfo& info, size_t position, const char* name) {
  if (!info[position].IsBoolean()) refuse(info, name, "a boolean");
  return info[position].As<Napi::Boolean>().Value();
}

std::vector<uint32_t> numbers_argument(const Napi::CallbackInfo& info, size_t position, const char* name) {
  if (!info[position].IsTypedArray() ||
      info[position].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    refuse(info, name, "a Uint32Array");
  }
  const auto array = info[position].As<Napi::Uint32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<uint8_t> bytes_argument(const Napi::CallbackInfo& info, size_t position, const char* name) {
  if (!info[position].IsTypedArray() ||
      info[position].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    refuse(info, name, "a Uint8Array");
  }
  const auto array = info[position].As<Napi::Uint8Array>();
  return {array.Data(), array.Data() + array.ByteLength()};
}

std::vector<NextHopQuery> next_hops_argument(const Napi::CallbackInfo& info, size_t position,
                                             const char* name) {
  constexpr size_t kRowBytes = 20;
  constexpr size_t kAddressOffset = 4;
  const std::vector<uint8_t> rows = bytes_argument(info, position, name);
  if (rows.size() % kRowBytes != 0) refuse(info, name, "rows of 20 bytes");
  std::vector<NextHopQuery> queries(rows.size() / kRowBytes);
  for (size_t i = 0; i < queries.size(); i++) {
    const std::span<const uint8_t> row = std::span(rows).subspan(i * kRowBytes, kRowBytes);
    if (row[0] != 4 && row[0] != 6) refuse(info, name, "rows of family 4 or 6");
    queries[i].is_ipv4 = row[0] == 4;
    queries[i].is_gateway_only = row[1] == 1;
    std::ranges::copy(row.subspan(kAddressOffset), queries[i].address.begin());
  }
  return queries;
}

}  // namespace nest::binding
