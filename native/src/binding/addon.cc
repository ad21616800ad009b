// SPDX-License-Identifier: AGPL-3.0-only
// The addon: probe() and open(), as native/addon.ts describes them.
#include <napi.h>

#include "binding/convert.h"
#include "binding/data_path_object.h"
#include "binding/task.h"

namespace nest::binding {
namespace {

/// Grows with every change of native/addon.ts that older callers cannot use.
constexpr uint32_t kAbi = 3;

class Addon final : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    constructor_ = Napi::Persistent(DataPathObject::define(env));
    DefineAddon(exports, {
                             InstanceValue("abi", Napi::Number::New(env, kAbi)),
                             InstanceMethod("probe", &Addon::probe),
                             InstanceMethod("interfaceFacts", &Addon::interface_facts),
                             InstanceMethod("askNextHops", &Addon::ask_next_hops),
                             InstanceMethod("open", &Addon::open),
                         });
  }

 private:
  Napi::Value probe(const Napi::CallbackInfo& info) {
    return Task<std::vector<EngineProbe>>::run(
        info.Env(), probe_engines,
        [](Napi::Env env, std::vector<EngineProbe>& probes) { return to_value(env, probes); });
  }

  Napi::Value interface_facts(const Napi::CallbackInfo& info) {
    return Task<InterfaceFacts>::run(
        info.Env(), [name = string_argument(info, 0, "name")] { return read_interface_facts(name); },
        [](Napi::Env env, InterfaceFacts& facts) { return to_value(env, facts); });
  }

  Napi::Value ask_next_hops(const Napi::CallbackInfo& info) {
    return Task<std::vector<NextHop>>::run(
        info.Env(), [queries = next_hops_argument(info, 0, "rows")] { return nest::ask_next_hops(queries); },
        [](Napi::Env env, std::vector<NextHop>& answers) -> Napi::Value {
          return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(answers.data()),
                                             answers.size());
        });
  }

  Napi::Value open(const Napi::CallbackInfo& info) {
    const LoadOptions options{option(info, "objectPath"), option(info, "pinPath")};
    return Task<std::shared_ptr<DataPath>>::run(
        info.Env(), [options] { return std::make_shared<DataPath>(open_xdp(options)); },
        [this](Napi::Env, std::shared_ptr<DataPath>& data_path) -> Napi::Value {
          const Napi::Object object = constructor_.New({});
          DataPathObject::Unwrap(object)->adopt(std::move(data_path));
          return object;
        });
  }

  static std::string option(const Napi::CallbackInfo& info, const char* name) {
    const Napi::Value value =
        info[0].IsObject() ? info[0].As<Napi::Object>().Get(name) : info.Env().Undefined();
    if (value.IsString()) return value.As<Napi::String>().Utf8Value();
    throw Napi::TypeError::New(info.Env(), std::string("options.") + name + " must be a string");
  }

  Napi::FunctionReference constructor_;
};

}  // namespace

// The macro defines a function of the addon's class, so it stays in this namespace.
NODE_API_ADDON(Addon)

}  // namespace nest::binding
