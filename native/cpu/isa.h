// Instruction sets of the CPU backend.
//
// Every file under native/cpu/ops is compiled once per set, with REDLLM_ISA naming it, and puts all it defines into
// REDLLM_ISA_NAMESPACE. Such a file must not instantiate a library template or inline function with external linkage that
// the compiler might keep out of line (std::vector, std::sort, ...): the linker would keep one copy of three, perhaps the one that
// this machine cannot run. Plain loops, <cmath> calls and our own templates (in that namespace) are fine.
#pragma once

#include "ops.h"

#ifdef REDLLM_ISA
#define REDLLM_ISA_NAMESPACE redllm::cpu::REDLLM_ISA
#endif

namespace redllm::cpu {

enum class Isa { plain, avx2, avx512 };  // avx512: with BW, VL, DQ and BF16

// The best set that this machine runs.
Isa best_isa();
// "plain", "avx2" or "avx512"; null where the name is none of them, or the machine or the build lacks it.
const Ops* ops_for(const char* name);
const char* isa_name(Isa isa);

}  // namespace redllm::cpu
