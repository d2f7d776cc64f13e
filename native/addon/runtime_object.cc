#include "addon/runtime_object.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "addon/constructors.h"
#include "addon/conversion.h"
#include "addon/model_object.h"
#include "devices.h"
#include "measure.h"
#include "model.h"

namespace redllm {
namespace {

constexpr napi_type_tag kRuntimeTag = {0x77d0b6f1a2c84d90, 0x8e12f6a95cd04b77};

}  // namespace

Napi::Function RuntimeObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeRuntime",
      {InstanceAccessor<&RuntimeObject::device>("device"), InstanceAccessor<&RuntimeObject::threads>("threads"),
       InstanceAccessor<&RuntimeObject::asynchronous>("asynchronous"), InstanceAccessor<&RuntimeObject::note>("note"),
       InstanceMethod<&RuntimeObject::footprint>("footprint"), InstanceMethod<&RuntimeObject::load>("load"),
       InstanceMethod<&RuntimeObject::memory>("memory"), InstanceMethod<&RuntimeObject::measure>("measure"),
       InstanceMethod<&RuntimeObject::free>("free")});
}

RuntimeObject::RuntimeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RuntimeObject>(info) {
  info.This().As<Napi::Object>().TypeTag(&kRuntimeTag);
  guarded(info.Env(), [&] {
    const Napi::Object given = info[0].As<Napi::Object>();
    DeviceOptions options;
    if (given.Has("device")) options.device = given.Get("device").As<Napi::String>().Utf8Value();
    options.isa = given.Get("isa").As<Napi::String>().Utf8Value();
    options.threads = given.Get("threads").As<Napi::Number>().Int32Value();
    options.library = to_text(given.Get("library"));
    device_ = options.device;
    backend_ = open_device(options);
  });
}

std::shared_ptr<Backend>& RuntimeObject::backend(const Napi::CallbackInfo& info) {
  if (!info.This().As<Napi::Object>().CheckTypeTag(&kRuntimeTag)) {
    throw Napi::TypeError::New(info.Env(), "not a native runtime");
  }
  if (!backend_) throw Napi::Error::New(info.Env(), "the runtime was freed");
  return backend_;
}

Napi::Value RuntimeObject::asynchronous(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !backend(info)->ops().host_memory);
}

Napi::Value RuntimeObject::device(const Napi::CallbackInfo& info) {
  const std::string name = backend(info)->ops().name;
  const size_t end = std::min(name.find(' '), name.size());  // "cuda" becomes "cuda:0"
  return Napi::String::New(info.Env(), device_ == "cpu" ? name : device_ + name.substr(end));
}

Napi::Value RuntimeObject::note(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), backend(info)->note());
}

Napi::Value RuntimeObject::threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), backend(info)->threads());
}

Napi::Value RuntimeObject::footprint(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Napi::Env env = info.Env();
    Footprint found = redllm::footprint(read_spec(to_value(info[0])), to_compute_type(info[1]), *backend(info));
    Napi::Object result = Napi::Object::New(env);
    result["weightBytes"] = Napi::Number::New(env, static_cast<double>(found.weight_bytes));
    result["pageTokens"] = Napi::Number::New(env, kPageTokens);
    result["pageBytes"] = Napi::Number::New(env, static_cast<double>(found.page_bytes));
    Napi::Array groups = Napi::Array::New(env, found.groups.size());
    for (uint32_t i = 0; i < found.groups.size(); ++i) {
      Napi::Object group = Napi::Object::New(env);
      group["kind"] = Napi::String::New(env, found.groups[i].cross ? "cross" : "self");
      group["window"] = Napi::Number::New(env, found.groups[i].window);
      groups[i] = group;
    }
    result["groups"] = groups;
    return Napi::Value(result);
  });
}

Napi::Value RuntimeObject::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto model = std::make_unique<Model>(backend(info), read_spec(to_value(info[0])), to_compute_type(info[1]),
                                         to_weight_source(to_value(info[2])), to_limits(to_value(info[3])));
    Napi::Object object = info.Env().GetInstanceData<Constructors>()->model.New({});
    ModelObject::Unwrap(object)->adopt(std::move(model));
    return Napi::Value(object);
  });
}

Napi::Value RuntimeObject::memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    uint64_t free = 0, total = 0;
    Backend& from = *backend(info);
    from.ops().memory(from.context(), &free, &total);
    throw_if_failed(from.ops(), from.context());
    Napi::Object result = Napi::Object::New(info.Env());
    result["free"] = Napi::Number::New(info.Env(), static_cast<double>(free));
    result["total"] = Napi::Number::New(info.Env(), static_cast<double>(total));
    return Napi::Value(result);
  });
}

Napi::Value RuntimeObject::measure(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const redllm::Value sizes = to_value(info[1]);
    auto number = [&](const char* key) { return static_cast<int64_t>(sizes.num(key)); };
    Backend& from = *backend(info);
    Rates rates =
        redllm::measure(from, to_compute_type(info[0]),
                        {static_cast<uint64_t>(number("bytes")), number("rows"), number("width"), number("times")});
    throw_if_failed(from.ops(), from.context());
    Napi::Object result = Napi::Object::New(info.Env());
    result["bytesPerSecond"] = Napi::Number::New(info.Env(), rates.bytes_per_second);
    result["flopPerSecond"] = Napi::Number::New(info.Env(), rates.flop_per_second);
    return Napi::Value(result);
  });
}

void RuntimeObject::free(const Napi::CallbackInfo&) {
  backend_.reset();
}

}  // namespace redllm
