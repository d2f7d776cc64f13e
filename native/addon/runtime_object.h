// A backend as JavaScript holds it (src/native.ts, NativeRuntime).
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "backend_interface.h"

namespace redllm {

class RuntimeObject : public Napi::ObjectWrap<RuntimeObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit RuntimeObject(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<Backend>& backend(const Napi::CallbackInfo& info);

  Napi::Value asynchronous(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value note(const Napi::CallbackInfo& info);
  Napi::Value threads(const Napi::CallbackInfo& info);
  Napi::Value footprint(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value measure(const Napi::CallbackInfo& info);
  void free(const Napi::CallbackInfo&);

  std::shared_ptr<Backend> backend_;
  std::string device_;  // as it was asked for
};

}  // namespace redllm
