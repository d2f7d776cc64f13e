#pragma once

#include <napi.h>

namespace redllm {

// The constructors of one environment, kept as its instance data.
struct Constructors {
  Napi::FunctionReference model, runtime;
};

}  // namespace redllm
