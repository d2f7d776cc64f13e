#include "cpu/backend.h"

#include <sched.h>

#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "cpu/isa.h"

namespace redllm::cpu {

namespace {

const Ops* ops_named(const char* isa) {
  const Ops* ops = ops_for(std::strcmp(isa, "auto") == 0 ? isa_name(best_isa()) : isa);
  if (ops == nullptr)
    throw std::runtime_error(std::string("this machine cannot run the instruction set \"") + isa + "\"");
  return ops;
}

}  // namespace

Backend::Backend(int32_t threads, const char* isa) : ops_(ops_named(isa)), pool_(threads) {
  void* scratch = ops_->allocate(nullptr, static_cast<uint64_t>(pool_.threads()) * kScratchBytes);
  if (scratch == nullptr) throw std::bad_alloc();
  context_ = {&pool_, static_cast<char*>(scratch), kScratchBytes};
}

Backend::~Backend() {
  ops_->release(nullptr, context_.scratch, static_cast<uint64_t>(pool_.threads()) * kScratchBytes);
}

int32_t default_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int32_t>(count);
}

}  // namespace redllm::cpu
