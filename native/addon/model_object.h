// A loaded model as JavaScript holds it (src/native.ts, NativeModel).
#pragma once

#include <napi.h>

#include <memory>

#include "model.h"
#include "plan.h"

namespace redllm {

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit ModelObject(const Napi::CallbackInfo& info);
  void adopt(std::unique_ptr<Model> model);

 private:
  Model& model(const Napi::CallbackInfo& info);
  Model& ready(const Napi::CallbackInfo& info);  // with a plan, and its weights loaded

  Napi::Value load_some(const Napi::CallbackInfo& info);
  void reserve_pages(const Napi::CallbackInfo& info);
  void bind(const Napi::CallbackInfo& info);
  void launch(const Napi::CallbackInfo& info);
  void collect(const Napi::CallbackInfo& info);
  void keep(const Napi::CallbackInfo& info);
  void probe(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  void free(const Napi::CallbackInfo&);

  std::unique_ptr<Model> model_;
  Plan plan_;
  Napi::ObjectReference arrays_;  // keeps the memory behind plan_ alive
};

}  // namespace redllm
