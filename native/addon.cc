// The boundary between Node and the core, and the only file that knows napi.h. The surface is typed in src/native.ts. Arguments
// are trusted: TypeScript checked them. C++ exceptions become JavaScript errors. Every object carries a type tag, so that a
// method called on something else throws instead of reading wild memory. Nothing is global: an environment (a Worker) that
// goes away takes its own objects along.
#include <dlfcn.h>
#include <napi.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "cpu/backend.h"
#include "cpu/isa.h"
#include "device_library.h"
#include "measure.h"
#include "model.h"
#include "value.h"

namespace redllm {
namespace {

constexpr napi_type_tag kModelTag = {0x3f1c6a70b9d24e15, 0x9a50d2c86be14f31};
constexpr napi_type_tag kRuntimeTag = {0x77d0b6f1a2c84d90, 0x8e12f6a95cd04b77};

// Deeper than any spec is; a cyclic object ends here.
constexpr int kMaxDepth = 64;

Value to_value(const Napi::Value& from, int depth = 0) {
  if (depth > kMaxDepth) throw Napi::TypeError::New(from.Env(), "the object is nested too deeply");
  Value value;
  if (from.IsBoolean()) {
    value.kind = Value::Kind::boolean;
    value.boolean = from.As<Napi::Boolean>().Value();
  } else if (from.IsNumber()) {
    value.kind = Value::Kind::number;
    value.number = from.As<Napi::Number>().DoubleValue();
  } else if (from.IsString()) {
    value.kind = Value::Kind::string;
    value.string = from.As<Napi::String>().Utf8Value();
  } else if (from.IsArray()) {
    value.kind = Value::Kind::array;
    Napi::Array array = from.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) value.array.push_back(to_value(array.Get(i), depth + 1));
  } else if (from.IsObject()) {
    value.kind = Value::Kind::object;
    Napi::Object object = from.As<Napi::Object>();
    Napi::Array keys = object.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); ++i) {
      value.object[keys.Get(i).As<Napi::String>().Utf8Value()] = to_value(object.Get(keys.Get(i)), depth + 1);
    }
  }
  return value;
}

DType compute_type(const Napi::Value& name) {
  return name.As<Napi::String>().Utf8Value() == "bfloat16" ? DType::bf16 : DType::f32;
}

WeightSource to_weight_source(const Value& value) {
  WeightSource source;
  if (value.str("kind") == "random") {
    source.random = true;
    source.seed = static_cast<uint64_t>(value.num("seed"));
    return source;
  }
  for (const auto& [name, tensor] : value.at("tensors", Value::Kind::object).object) {
    const std::string& type = tensor.str("type");
    source.tensors[name] = {tensor.str("file"), static_cast<uint64_t>(tensor.num("offset")),
                            type == "F32"    ? DType::f32
                            : type == "BF16" ? DType::bf16
                                             : DType::f16};
  }
  return source;
}

StepLimits to_limits(const Value& value) {
  auto number = [&](const char* key) { return static_cast<int32_t>(value.num(key)); };
  return {number("tokens"),  number("rows"),         number("sourceTokens"), number("sources"),
          number("samples"), number("alternatives"), number("maxSource"),    number("maxTarget")};
}

// Runs a body that may throw C++ exceptions, as JavaScript errors.
template <typename Body>
auto guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "out of memory");
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

// What has failed on a device stays failed: throws its sentence.
void check(Backend& backend) {
  const char* failure = backend.ops().error(backend.context());
  if (failure != nullptr) throw std::runtime_error(failure);
}

// The CUDA library: the path that was given, or its place beside this addon.
std::string library_path(const Napi::Value& given) {
  if (given.IsString()) {
    std::string path = given.As<Napi::String>().Utf8Value();
    if (!path.empty()) return path;
  }
  Dl_info addon;
  if (dladdr(reinterpret_cast<void*>(&library_path), &addon) == 0 || addon.dli_fname == nullptr) return {};
  std::string path = addon.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + "libredllm_cuda.so";
}

constexpr const char* kCudaPrefix = "cuda:";

std::shared_ptr<Backend> open_backend(const std::string& device, const std::string& isa, int32_t threads,
                                      const std::string& library) {
  if (device.starts_with(kCudaPrefix)) {
    return DeviceLibrary(library).open(std::stoi(device.substr(std::string(kCudaPrefix).size())));
  }
  return std::make_shared<cpu::Backend>(threads > 0 ? threads : cpu::default_threads(), isa.c_str());
}

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeModel",
        {InstanceMethod<&ModelObject::load_some>("loadSome"),
         InstanceMethod<&ModelObject::reserve_pages>("reservePages"), InstanceMethod<&ModelObject::bind>("bind"),
         InstanceMethod<&ModelObject::launch>("launch"), InstanceMethod<&ModelObject::collect>("collect"),
         InstanceMethod<&ModelObject::keep>("keep"), InstanceMethod<&ModelObject::probe>("probe"),
         InstanceMethod<&ModelObject::read>("read"), InstanceMethod<&ModelObject::counters>("counters"),
         InstanceMethod<&ModelObject::free>("free")});
  }

  explicit ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
    info.This().As<Napi::Object>().TypeTag(&kModelTag);
  }

  void adopt(std::unique_ptr<Model> model) { model_ = std::move(model); }

 private:
  Model& model(const Napi::CallbackInfo& info) {
    if (!info.This().As<Napi::Object>().CheckTypeTag(&kModelTag)) {
      throw Napi::TypeError::New(info.Env(), "not a native model");
    }
    if (!model_) throw Napi::Error::New(info.Env(), "the model was freed");
    return *model_;
  }

  Napi::Value load_some(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Weights& weights = model(info).weights();
      weights.load_some(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
      Napi::Object progress = Napi::Object::New(info.Env());
      progress["done"] = Napi::Number::New(info.Env(), static_cast<double>(weights.loaded_bytes()));
      progress["total"] = Napi::Number::New(info.Env(), static_cast<double>(weights.total_bytes()));
      return Napi::Value(progress);
    });
  }

  void reserve_pages(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      model(info).transformer().reserve_pages(info[0].As<Napi::Number>().Int32Value());
      check(model(info).backend());
    });
  }

  void bind(const Napi::CallbackInfo& info) {
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

  Model& ready(const Napi::CallbackInfo& info) {
    Model& loaded = model(info);
    if (!plan_.counts) throw Napi::Error::New(info.Env(), "no plan is bound");
    if (!loaded.weights().done()) throw Napi::Error::New(info.Env(), "the weights are not loaded");
    return loaded;
  }

  void launch(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { ready(info).transformer().launch(plan_); });
  }

  void collect(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { ready(info).transformer().collect(plan_); });
  }

  void keep(const Napi::CallbackInfo& info) { model(info).transformer().keep(info[0].As<Napi::Boolean>().Value()); }

  void probe(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      std::optional<ProbeBins> bins;
      if (info[0].IsObject()) {
        const redllm::Value given = to_value(info[0]);
        bins = ProbeBins{static_cast<int32_t>(given.num("recent")), static_cast<int32_t>(given.num("parts"))};
      }
      model(info).transformer().probe(bins);
    });
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
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

  Napi::Value counters(const Napi::CallbackInfo& info) {
    const Counters& counters = model(info).transformer().counters();
    Napi::Object result = Napi::Object::New(info.Env());
    result["products"] = Napi::Number::New(info.Env(), static_cast<double>(counters.products));
    result["attention"] = Napi::Number::New(info.Env(), static_cast<double>(counters.attention));
    return result;
  }

  void free(const Napi::CallbackInfo&) {
    model_.reset();
    arrays_.Reset();
    plan_ = {};
  }

  std::unique_ptr<Model> model_;
  Plan plan_;
  Napi::ObjectReference arrays_;  // keeps the memory behind plan_ alive
};

// The constructors of one environment.
struct Constructors {
  Napi::FunctionReference model, runtime;
};

class RuntimeObject : public Napi::ObjectWrap<RuntimeObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeRuntime",
        {InstanceAccessor<&RuntimeObject::device>("device"), InstanceAccessor<&RuntimeObject::threads>("threads"),
         InstanceAccessor<&RuntimeObject::asynchronous>("asynchronous"), InstanceAccessor<&RuntimeObject::note>("note"),
         InstanceMethod<&RuntimeObject::footprint>("footprint"), InstanceMethod<&RuntimeObject::load>("load"),
         InstanceMethod<&RuntimeObject::memory>("memory"), InstanceMethod<&RuntimeObject::measure>("measure"),
         InstanceMethod<&RuntimeObject::free>("free")});
  }

  explicit RuntimeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RuntimeObject>(info) {
    info.This().As<Napi::Object>().TypeTag(&kRuntimeTag);
    guarded(info.Env(), [&] {
      const Napi::Object options = info[0].As<Napi::Object>();
      if (options.Has("device")) device_ = options.Get("device").As<Napi::String>().Utf8Value();
      backend_ =
          open_backend(device_, options.Get("isa").As<Napi::String>().Utf8Value(),
                       options.Get("threads").As<Napi::Number>().Int32Value(), library_path(options.Get("library")));
    });
  }

 private:
  std::shared_ptr<Backend>& backend(const Napi::CallbackInfo& info) {
    if (!info.This().As<Napi::Object>().CheckTypeTag(&kRuntimeTag)) {
      throw Napi::TypeError::New(info.Env(), "not a native runtime");
    }
    if (!backend_) throw Napi::Error::New(info.Env(), "the runtime was freed");
    return backend_;
  }

  Napi::Value asynchronous(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), !backend(info)->ops().host_memory);
  }

  Napi::Value device(const Napi::CallbackInfo& info) {
    const std::string name = backend(info)->ops().name;
    const size_t end = std::min(name.find(' '), name.size());  // "cuda" becomes "cuda:0"
    return Napi::String::New(info.Env(), device_ == "cpu" ? name : device_ + name.substr(end));
  }

  Napi::Value note(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), backend(info)->note()); }

  Napi::Value threads(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), backend(info)->threads());
  }

  Napi::Value footprint(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Napi::Env env = info.Env();
      Footprint found = redllm::footprint(read_spec(to_value(info[0])), compute_type(info[1]), *backend(info));
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

  Napi::Value load(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      auto model = std::make_unique<Model>(backend(info), read_spec(to_value(info[0])), compute_type(info[1]),
                                           to_weight_source(to_value(info[2])), to_limits(to_value(info[3])));
      Napi::Object object = info.Env().GetInstanceData<Constructors>()->model.New({});
      ModelObject::Unwrap(object)->adopt(std::move(model));
      return Napi::Value(object);
    });
  }

  Napi::Value memory(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      uint64_t free = 0, total = 0;
      Backend& from = *backend(info);
      from.ops().memory(from.context(), &free, &total);
      check(from);
      Napi::Object result = Napi::Object::New(info.Env());
      result["free"] = Napi::Number::New(info.Env(), static_cast<double>(free));
      result["total"] = Napi::Number::New(info.Env(), static_cast<double>(total));
      return Napi::Value(result);
    });
  }

  Napi::Value measure(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const redllm::Value sizes = to_value(info[1]);
      auto number = [&](const char* key) { return static_cast<int64_t>(sizes.num(key)); };
      Backend& from = *backend(info);
      Rates rates =
          redllm::measure(from, compute_type(info[0]),
                          {static_cast<uint64_t>(number("bytes")), number("rows"), number("width"), number("times")});
      check(from);
      Napi::Object result = Napi::Object::New(info.Env());
      result["bytesPerSecond"] = Napi::Number::New(info.Env(), rates.bytes_per_second);
      result["flopPerSecond"] = Napi::Number::New(info.Env(), rates.flop_per_second);
      return Napi::Value(result);
    });
  }

  void free(const Napi::CallbackInfo&) { backend_.reset(); }

  std::shared_ptr<Backend> backend_;
  std::string device_ = "cpu";
};

Napi::Object report(Napi::Env env, const std::string& name, bool available, const std::string& detail) {
  Napi::Object device = Napi::Object::New(env);
  device["name"] = Napi::String::New(env, name);
  device["available"] = Napi::Boolean::New(env, available);
  device["detail"] = Napi::String::New(env, detail);
  return device;
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  for (cpu::Isa isa : {cpu::Isa::avx512, cpu::Isa::avx2, cpu::Isa::plain}) {
    const char* name = cpu::isa_name(isa);
    bool available = cpu::ops_for(name) != nullptr;
    list[list.Length()] =
        report(env, std::string("cpu ") + name, available,
               available ? "ready" : "this processor, or this build, does not have these instructions");
  }
  DeviceLibrary library(library_path(info[0]));
  const int32_t count = library.count();
  if (count == 0) list[list.Length()] = report(env, "cuda", false, library.why());
  for (int32_t i = 0; i < count; ++i) {
    std::string detail;
    const bool available = library.describe(i, &detail);
    list[list.Length()] = report(env, kCudaPrefix + std::to_string(i), available, detail);
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
