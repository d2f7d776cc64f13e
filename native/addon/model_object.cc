#include "addon/model_object.h"

#include <algorithm>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "addon/conversion.h"

namespace redllm {
namespace {

constexpr napi_type_tag kModelTag = {0x3f1c6a70b9d24e15, 0x9a50d2c86be14f31};

}  // namespace

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeModel",
      {InstanceMethod<&ModelObject::load_some>("loadSome"), InstanceMethod<&ModelObject::reserve_pages>("reservePages"),
       InstanceMethod<&ModelObject::bind>("bind"), InstanceMethod<&ModelObject::launch>("launch"),
       InstanceMethod<&ModelObject::collect>("collect"), InstanceMethod<&ModelObject::keep>("keep"),
       InstanceMethod<&ModelObject::probe>("probe"), InstanceMethod<&ModelObject::read>("read"),
       InstanceMethod<&ModelObject::counters>("counters"), InstanceMethod<&ModelObject::free>("free")});
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  info.This().As<Napi::Object>().TypeTag(&kModelTag);
}

void ModelObject::adopt(std::unique_ptr<Model> model) {
  model_ = std::move(model);
}

Model& ModelObject::model(const Napi::CallbackInfo& info) {
  if (!info.This().As<Napi::Object>().CheckTypeTag(&kModelTag)) {
    throw Napi::TypeError::New(info.Env(), "not a native model");
  }
  if (!model_) throw Napi::Error::New(info.Env(), "the model was freed");
  return *model_;
}

Napi::Value ModelObject::load_some(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Weights& weights = model(info).weights();
    weights.load_some(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
    Napi::Object progress = Napi::Object::New(info.Env());
    progress["done"] = Napi::Number::New(info.Env(), static_cast<double>(weights.loaded_bytes()));
    progress["total"] = Napi::Number::New(info.Env(), static_cast<double>(weights.total_bytes()));
    return Napi::Value(progress);
  });
}

void ModelObject::reserve_pages(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    model(info).transformer().reserve_pages(info[0].As<Napi::Number>().Int32Value());
    Backend& backend = model(info).backend();
    throw_if_failed(backend.ops(), backend.context());
  });
}

void ModelObject::bind(const Napi::CallbackInfo& info) {
  model(info);
  Napi::Object arrays = info[0].As<Napi::Object>();
  plan_.each([&](const char* name, auto& pointer) {
    Napi::Value array = arrays.Get(name);
    if (!array.IsTypedArray()) throw Napi::TypeError::New(info.Env(), std::string("the plan has no array ") + name);
    using Element = std::remove_const_t<std::remove_pointer_t<std::remove_reference_t<decltype(pointer)>>>;
    Napi::TypedArray typed = array.As<Napi::TypedArray>();
    napi_typedarray_type wanted = std::is_same_v<Element, float>      ? napi_float32_array
                                  : std::is_same_v<Element, uint32_t> ? napi_uint32_array
                                                                      : napi_int32_array;
    if (typed.TypedArrayType() != wanted) {
      throw Napi::TypeError::New(info.Env(), std::string("the plan's array ") + name + " has the wrong type");
    }
    char* data = static_cast<char*>(typed.ArrayBuffer().Data()) + typed.ByteOffset();
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(data);
  });
  arrays_ = Napi::Persistent(arrays);
}

Model& ModelObject::ready(const Napi::CallbackInfo& info) {
  Model& loaded = model(info);
  if (!plan_.counts) throw Napi::Error::New(info.Env(), "no plan is bound");
  if (!loaded.weights().done()) throw Napi::Error::New(info.Env(), "the weights are not loaded");
  return loaded;
}

void ModelObject::launch(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { ready(info).transformer().launch(plan_); });
}

void ModelObject::collect(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { ready(info).transformer().collect(plan_); });
}

void ModelObject::keep(const Napi::CallbackInfo& info) {
  model(info).transformer().keep(info[0].As<Napi::Boolean>().Value());
}

void ModelObject::probe(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    std::optional<ProbeBins> bins;
    if (info[0].IsObject()) {
      const redllm::Value given = to_value(info[0]);
      bins = ProbeBins{static_cast<int32_t>(given.num("recent")), static_cast<int32_t>(given.num("parts"))};
    }
    model(info).transformer().probe(bins);
  });
}

Napi::Value ModelObject::read(const Napi::CallbackInfo& info) {
  Transformer& transformer = model(info).transformer();
  const std::string what = info[0].As<Napi::String>().Utf8Value();
  const std::vector<float>& values = what == "logits"    ? transformer.kept_logits()
                                     : what == "encoder" ? transformer.kept_encoder()
                                     : what == "self"    ? transformer.self_masses()
                                                         : transformer.cross_masses();
  Napi::Float32Array array = Napi::Float32Array::New(info.Env(), values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value ModelObject::counters(const Napi::CallbackInfo& info) {
  const Counters& counters = model(info).transformer().counters();
  Napi::Object result = Napi::Object::New(info.Env());
  result["products"] = Napi::Number::New(info.Env(), static_cast<double>(counters.products));
  result["attention"] = Napi::Number::New(info.Env(), static_cast<double>(counters.attention));
  return result;
}

void ModelObject::free(const Napi::CallbackInfo&) {
  model_.reset();
  arrays_.Reset();
  plan_ = {};
}

}  // namespace redllm
