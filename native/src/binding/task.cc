// SPDX-License-Identifier: AGPL-3.0-only
#include "binding/task.h"

namespace nest::binding {

Napi::Error to_error(Napi::Env env, const Error& error) {
  Napi::Error value = Napi::Error::New(env, error.what());
  Napi::Object object = value.Value();
  object.Set("code", std::string(code_name(error.code)));
  object.Set("step", error.step);
  if (!error.verifier_log.empty()) object.Set("verifierLog", error.verifier_log);
  return value;
}

}  // namespace nest::binding
