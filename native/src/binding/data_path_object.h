// SPDX-License-Identifier: AGPL-3.0-only
// DataPath of native/addon.ts: checks arguments, makes one call of the engine, converts what comes back.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/data_path.h"

namespace nest::binding {

class DataPathObject final : public Napi::ObjectWrap<DataPathObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit DataPathObject(const Napi::CallbackInfo& info);
  void adopt(std::shared_ptr<DataPath> data_path) { data_path_ = std::move(data_path); }

 private:
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value attach(const Napi::CallbackInfo& info);
  Napi::Value detach(const Napi::CallbackInfo& info);
  Napi::Value swap(const Napi::CallbackInfo& info);
  Napi::Value attach_local(const Napi::CallbackInfo& info);
  Napi::Value detach_local(const Napi::CallbackInfo& info);
  Napi::Value local_counters(const Napi::CallbackInfo& info);
  Napi::Value set_backend_states(const Napi::CallbackInfo& info);
  Napi::Value update_deny(const Napi::CallbackInfo& info);
  Napi::Value set_flood(const Napi::CallbackInfo& info);
  Napi::Value set_interface_addresses(const Napi::CallbackInfo& info);
  Napi::Value set_tx_ports(const Napi::CallbackInfo& info);
  Napi::Value inspect(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value flows(const Napi::CallbackInfo& info);
  Napi::Value sweep(const Napi::CallbackInfo& info);
  Napi::Value take_records(const Napi::CallbackInfo& info);
  Napi::Value trace(const Napi::CallbackInfo& info);
  Napi::Value clock_offset_ms(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);

  std::shared_ptr<DataPath> engine() const;

  std::shared_ptr<DataPath> data_path_;
};

}  // namespace nest::binding
