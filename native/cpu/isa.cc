#include "cpu/isa.h"

#include <cstring>

namespace redllm::cpu {

namespace plain {
extern const Ops table;
}
#ifdef REDLLM_HAVE_avx2
namespace avx2 {
extern const Ops table;
}
#endif
#ifdef REDLLM_HAVE_avx512
namespace avx512 {
extern const Ops table;
}
#endif

namespace {

// The table of a set that this build has and this machine (processor and operating system) runs, or null.
const Ops* table_of(Isa isa) {
  switch (isa) {
    case Isa::plain:
      return &plain::table;
    case Isa::avx2:
#ifdef REDLLM_HAVE_avx2
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        return &avx2::table;
#endif
      return nullptr;
    case Isa::avx512:
#ifdef REDLLM_HAVE_avx512
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
          __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512bf16"))
        return &avx512::table;
#endif
      return nullptr;
  }
  return nullptr;
}

}  // namespace

Isa best_isa() {
  if (table_of(Isa::avx512) != nullptr) return Isa::avx512;
  if (table_of(Isa::avx2) != nullptr) return Isa::avx2;
  return Isa::plain;
}

const Ops* ops_for(const char* name) {
  constexpr Isa kAll[] = {Isa::plain, Isa::avx2, Isa::avx512};
  for (Isa isa : kAll)
    if (std::strcmp(name, isa_name(isa)) == 0) return table_of(isa);
  return nullptr;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::plain:
      break;
  }
  return "plain";
}

}  // namespace redllm::cpu
