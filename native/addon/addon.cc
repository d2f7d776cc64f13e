// The boundary between Node and the core; only files of this folder know napi.h. The surface is typed in src/native.ts.
// Arguments are trusted: TypeScript checked them. C++ exceptions become JavaScript errors. Every object carries a type tag, so
// that a method called on something else throws instead of reading wild memory. Nothing is global: an environment (a Worker)
// that goes away takes its own objects along.
#include <napi.h>

#include "addon/constructors.h"
#include "addon/conversion.h"
#include "addon/model_object.h"
#include "addon/runtime_object.h"
#include "devices.h"

namespace redllm {
namespace {

Napi::Value devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  for (const DeviceReport& found : list_devices(to_text(info[0]))) {
    Napi::Object device = Napi::Object::New(env);
    device["name"] = Napi::String::New(env, found.name);
    device["available"] = Napi::Boolean::New(env, found.available);
    device["detail"] = Napi::String::New(env, found.detail);
    list[list.Length()] = device;
  }
  return list;
}

Napi::Value create_runtime(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<Constructors>()->runtime.New({info[0]});
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* constructors =
      new Constructors{Napi::Persistent(ModelObject::define(env)), Napi::Persistent(RuntimeObject::define(env))};
  env.SetInstanceData(constructors);
  exports["devices"] = Napi::Function::New(env, devices);
  exports["createRuntime"] = Napi::Function::New(env, create_runtime);
  return exports;
}

}  // namespace
}  // namespace redllm

static Napi::Object redllm_init(Napi::Env env, Napi::Object exports) {
  return redllm::init(env, exports);
}
NODE_API_MODULE(redllm, redllm_init)
