// A place to compute: its ops, and the context to call them with.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "ops.h"

namespace redllm {

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual const Ops& ops() const = 0;
  virtual Context* context() = 0;
  // Threads that compute; 0 where it is not threads that do.
  virtual int32_t threads() const = 0;
  // What serves it beside its own kernels, or why nothing does: a sentence without a full stop; empty where there is nothing to say.
  virtual const char* note() { return ""; }

 protected:
  Backend() = default;
};

// What has failed on a device stays failed: throws its sentence.
inline void throw_if_failed(const Ops& ops, Context* context) {
  if (const char* failure = ops.error(context)) throw std::runtime_error(failure);
}

}  // namespace redllm
