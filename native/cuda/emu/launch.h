// launch() of context.cuh, on the emulated device.
#pragma once

#include <type_traits>

#include "cuda/emu/stream.h"

namespace redllm::cuda {

template <typename Params>
void launch(Context* context, const char* name, void (*kernel)(Params), dim3 grid, int threads, size_t shared,
            const Params& params) {
  static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= 4096, "a kernel takes one plain struct");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const auto call = [](void* kernel, const void* params) {
    reinterpret_cast<void (*)(Params)>(kernel)(*static_cast<const Params*>(params));
  };
  // Padding stays as it is: GCC 12's __builtin_clear_padding clears fields, too, in large structs with an array.
  succeeded(context,
            emu::launch(context->stream, {name, call, reinterpret_cast<void*>(kernel), &params, grid, threads, shared},
                        sizeof(Params)),
            name);
}

}  // namespace redllm::cuda
