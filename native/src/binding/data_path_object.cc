// SPDX-License-Identifier: AGPL-3.0-only
#include "binding/data_path_object.h"

#include <cstring>

#include "binding/convert.h"
#include "binding/task.h"

namespace nest::binding {
namespace {

/// Result of work that has none.
struct Done {};

Napi::Value undefined(Napi::Env env, const Done&) {
  return env.Undefined();
}

Napi::Value stamped(Napi::Env env, const uint32_t& sequence) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("sequence", sequence);
  return object;
}

/// Bytes of an address, or none: null.
void read_address(const Napi::Value& value, void* into, size_t bytes) {
  if (value.IsNull()) return;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().ByteLength() != bytes ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(value.Env(), "an address must be null or a Uint8Array of its 4 or 16 bytes");
  }
  std::memcpy(into, value.As<Napi::Uint8Array>().Data(), bytes);
}

std::vector<InterfaceAddress> addresses_argument(const Napi::CallbackInfo& info, size_t position,
                                                 const char* name) {
  if (!info[position].IsArray())
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be an array");
  const auto rows = info[position].As<Napi::Array>();
  std::vector<InterfaceAddress> addresses(rows.Length());
  for (uint32_t i = 0; i < rows.Length(); i++) {
    const auto row = rows.Get(i).As<Napi::Object>();
    addresses[i].index = row.Get("index").As<Napi::Number>().Uint32Value();
    read_address(row.Get("address4"), &addresses[i].address.address4, 4);
    read_address(row.Get("address6"), addresses[i].address.address6, 16);
  }
  return addresses;
}

}  // namespace

Napi::Function DataPathObject::define(Napi::Env env) {
  return DefineClass(env, "DataPath",
                     {
                         InstanceMethod("state", &DataPathObject::state),
                         InstanceMethod("attach", &DataPathObject::attach),
                         InstanceMethod("detach", &DataPathObject::detach),
                         InstanceMethod("swap", &DataPathObject::swap),
                         InstanceMethod("attachLocal", &DataPathObject::attach_local),
                         InstanceMethod("detachLocal", &DataPathObject::detach_local),
                         InstanceMethod("localCounters", &DataPathObject::local_counters),
                         InstanceMethod("setBackendStates", &DataPathObject::set_backend_states),
                         InstanceMethod("updateDeny", &DataPathObject::update_deny),
                         InstanceMethod("setFlood", &DataPathObject::set_flood),
                         InstanceMethod("setInterfaceAddresses", &DataPathObject::set_interface_addresses),
                         InstanceMethod("setTxPorts", &DataPathObject::set_tx_ports),
                         InstanceMethod("inspect", &DataPathObject::inspect),
                         InstanceMethod("counters", &DataPathObject::counters),
                         InstanceMethod("flows", &DataPathObject::flows),
                         InstanceMethod("sweep", &DataPathObject::sweep),
                         InstanceMethod("takeRecords", &DataPathObject::take_records),
                         InstanceMethod("trace", &DataPathObject::trace),
                         InstanceMethod("clockOffsetMs", &DataPathObject::clock_offset_ms),
                         InstanceMethod("close", &DataPathObject::close),
                         InstanceMethod("remove", &DataPathObject::remove),
                     });
}

DataPathObject::DataPathObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DataPathObject>(info) {}

std::shared_ptr<DataPath> DataPathObject::engine() const {
  if (data_path_ == nullptr)
    throw Error(Code::kClosed, "this data path was never opened", "use open() of the addon");
  return data_path_;
}

Napi::Value DataPathObject::state(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const DataPathState state = engine()->state();
    Napi::Array interfaces = Napi::Array::New(info.Env(), state.interfaces.size());
    for (uint32_t i = 0; i < state.interfaces.size(); i++)
      interfaces.Set(i, to_value(info.Env(), state.interfaces[i]));
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("adopted", state.is_adopted);
    object.Set("sequence", state.control.sequence);
    object.Set("swapped", state.swapped);
    object.Set("flags", state.control.flags);
    object.Set("programId", state.program_id);
    object.Set("interfaces", interfaces);
    object.Set("local", to_value(info.Env(), state.local));
    return object;
  });
}

Napi::Value DataPathObject::attach(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<AttachedInterface>::run(
        info.Env(),
        [path = engine(), name = string_argument(info, 0, "interfaceName")] { return path->attach(name); },
        [](Napi::Env env, AttachedInterface& attached) { return to_value(env, attached); });
  });
}

Napi::Value DataPathObject::detach(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<bool>::run(
        info.Env(),
        [path = engine(), name = string_argument(info, 0, "interfaceName")] { return path->detach(name); },
        [](Napi::Env env, bool& was_attached) -> Napi::Value {
          return Napi::Boolean::New(env, was_attached);
        });
  });
}

Napi::Value DataPathObject::swap(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const uint32_t sequence = number_argument(info, 1, "sequence");
    return Task<SwapTimes>::run(
        info.Env(),
        [path = engine(), image = bytes_argument(info, 0, "image"), sequence,
         states = info[2].IsUndefined() ? std::vector<uint8_t>() : bytes_argument(info, 2, "states")] {
          return path->swap(image, states, sequence);
        },
        [sequence](Napi::Env env, SwapTimes& times) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("sequence", sequence);
          object.Set("loadMs", times.load_ms);
          object.Set("flipMs", times.flip_ms);
          return object;
        });
  });
}

Napi::Value DataPathObject::attach_local(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::string cgroup_path =
        info[0].IsObject() && info[0].As<Napi::Object>().Get("cgroupPath").IsString()
            ? info[0].As<Napi::Object>().Get("cgroupPath").As<Napi::String>()
            : std::string();
    if (cgroup_path.empty()) throw Napi::TypeError::New(info.Env(), "options.cgroupPath must be a path");
    return Task<LocalState>::run(
        info.Env(), [path = engine(), cgroup_path] { return path->attach_local(cgroup_path); },
        [](Napi::Env env, LocalState& state) { return to_value(env, state); });
  });
}

Napi::Value DataPathObject::detach_local(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Done>::run(
        info.Env(),
        [path = engine()] {
          path->detach_local();
          return Done{};
        },
        undefined);
  });
}

Napi::Value DataPathObject::local_counters(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<LocalCounters>::run(
        info.Env(), [path = engine()] { return path->local_counters(); },
        [](Napi::Env env, LocalCounters& counters) { return to_value(env, counters); });
  });
}

Napi::Value DataPathObject::set_backend_states(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<uint32_t>::run(
        info.Env(),
        [path = engine(), states = bytes_argument(info, 0, "states")] {
          return path->set_backend_states(states);
        },
        stamped);
  });
}

Napi::Value DataPathObject::update_deny(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<uint32_t>::run(
        info.Env(),
        [path = engine(), family = number_argument(info, 0, "family"), add = bytes_argument(info, 1, "add"),
         remove = bytes_argument(info, 2, "remove")] { return path->update_deny(family, add, remove); },
        stamped);
  });
}

Napi::Value DataPathObject::set_flood(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    engine()->set_flood(boolean_argument(info, 0, "on"));
    return info.Env().Undefined();
  });
}

Napi::Value DataPathObject::set_interface_addresses(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Done>::run(
        info.Env(),
        [path = engine(), addresses = addresses_argument(info, 0, "rows")] {
          path->set_interface_addresses(addresses);
          return Done{};
        },
        undefined);
  });
}

Napi::Value DataPathObject::set_tx_ports(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Done>::run(
        info.Env(),
        [path = engine(), indexes = numbers_argument(info, 0, "indexes")] {
          path->set_tx_ports(indexes);
          return Done{};
        },
        undefined);
  });
}

Napi::Value DataPathObject::inspect(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Inspection>::run(
        info.Env(), [path = engine()] { return path->inspect(); },
        [](Napi::Env env, Inspection& inspection) { return to_value(env, inspection); });
  });
}

Napi::Value DataPathObject::counters(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return to_value(info.Env(), engine()->counters()); });
}

Napi::Value DataPathObject::flows(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<FlowPage>::run(
        info.Env(),
        [path = engine(), limit = number_argument(info, 0, "limit")] { return path->flows(limit); },
        [](Napi::Env env, FlowPage& page) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("rows", to_buffer(env, page.rows));
          object.Set("rowBytes", static_cast<uint32_t>(sizeof(nest_record)));
          object.Set("truncated", page.is_truncated);
          return object;
        });
  });
}

Napi::Value DataPathObject::sweep(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<std::vector<nest_record>>::run(
        info.Env(),
        [path = engine(), limit = number_argument(info, 0, "limit")] { return path->sweep(limit); },
        [](Napi::Env env, std::vector<nest_record>& records) { return to_buffer(env, records); });
  });
}

Napi::Value DataPathObject::take_records(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const RecordBuffer::Taken taken = engine()->take_records(number_argument(info, 0, "limit"));
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("records", to_buffer(info.Env(), taken.records));
    object.Set("lost", Napi::BigInt::New(info.Env(), taken.lost));
    return object;
  });
}

Napi::Value DataPathObject::trace(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<TraceResult>::run(
        info.Env(),
        [path = engine(), packet = bytes_argument(info, 0, "packet"),
         name = string_argument(info, 1, "interfaceName")] { return path->trace(packet, name); },
        [](Napi::Env env, TraceResult& result) { return to_value(env, result); });
  });
}

Napi::Value DataPathObject::clock_offset_ms(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), DataPath::clock_offset_ms());
}

Napi::Value DataPathObject::close(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Done>::run(
        info.Env(),
        [path = engine()] {
          path->close();
          return Done{};
        },
        undefined);
  });
}

Napi::Value DataPathObject::remove(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    return Task<Done>::run(
        info.Env(),
        [path = engine()] {
          path->remove();
          return Done{};
        },
        undefined);
  });
}

}  // namespace nest::binding
