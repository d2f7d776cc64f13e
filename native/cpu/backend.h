// The CPU backend: its ops and a context to call them with.
#pragma once

#include "backend_interface.h"
#include "cpu/context.h"

namespace redllm::cpu {

class Backend final : public redllm::Backend {
 public:
  // threads: at least 1. isa: "auto", "plain", "avx2" or "avx512"; throws std::runtime_error where this machine lacks it.
  Backend(int32_t threads, const char* isa = "auto");
  ~Backend() override;

  const Ops& ops() const override { return *ops_; }
  Context* context() override { return &context_; }
  int32_t threads() const override { return pool_.threads(); }

 private:
  const Ops* ops_;
  ThreadPool pool_;
  Context context_;
};

// Threads to use where nothing is said: the processors this process may run on.
int32_t default_threads();

}  // namespace redllm::cpu
