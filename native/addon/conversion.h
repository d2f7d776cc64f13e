// What JavaScript passed, as the core's own types, and C++ exceptions as JavaScript errors.
#pragma once

#include <napi.h>

#include <exception>
#include <new>
#include <string>

#include "plan.h"
#include "value.h"
#include "weights.h"

namespace redllm {

Value to_value(const Napi::Value& from, int depth = 0);
std::string to_text(const Napi::Value& value);  // empty where it is no string
DType to_compute_type(const Napi::Value& name);
WeightSource to_weight_source(const Value& value);
StepLimits to_limits(const Value& value);

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

}  // namespace redllm
