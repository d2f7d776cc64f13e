#include "addon/conversion.h"

#include <cstdint>
#include <string>

namespace redllm {
namespace {

// Deeper than any spec is; a cyclic object ends here.
constexpr int kMaxDepth = 64;

}  // namespace

Value to_value(const Napi::Value& from, int depth) {
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

std::string to_text(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

DType to_compute_type(const Napi::Value& name) {
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

}  // namespace redllm
