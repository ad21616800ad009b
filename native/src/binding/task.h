// SPDX-License-Identifier: AGPL-3.0-only
// The one way native work leaves the JS thread: a promise, settled on the JS thread, every failure caught
// once.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "backend/error.h"

namespace nest::binding {

/// The JavaScript Error of native/addon.ts: code, step, verifierLog.
Napi::Error to_error(Napi::Env env, const Error& error);

/// Runs `call` on the JS thread; nest::Error and std::exception become JavaScript exceptions.
template <typename Call>
Napi::Value guard(Napi::Env env, Call call) {
  try {
    return call();
  } catch (const Error& error) {
    throw to_error(env, error);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw to_error(env, system_error(0, error.what()));
  }
}

template <typename Result>
class Task final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  /// `work` runs on a pool thread and touches nothing of JavaScript; `convert` runs on the JS thread.
  static Napi::Value run(Napi::Env env, Work work, Convert convert) {
    auto* task = new Task(env, std::move(work), std::move(convert));  // owned by the event loop
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      result_.emplace(work_());
    } catch (const Error& error) {
      error_ = std::make_unique<Error>(error);
    } catch (const std::exception& error) {
      error_ = std::make_unique<Error>(system_error(0, error.what()));
    }
  }

  void OnOK() override {
    const Napi::HandleScope scope(Env());
    if (error_ != nullptr) {
      deferred_.Reject(to_error(Env(), *error_).Value());
      return;
    }
    deferred_.Resolve(convert_(Env(), *result_));
  }

 private:
  Task(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<Result> result_;
  std::unique_ptr<Error> error_;
};

}  // namespace nest::binding
