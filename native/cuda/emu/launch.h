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
  Params plain = params;
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&plain);  // what nobody wrote there may look like an address
#endif
  succeeded(context,
            emu::launch(context->stream, {name, call, reinterpret_cast<void*>(kernel), &plain, grid, threads, shared},
                        sizeof(Params)),
            name);
}

}  // namespace redllm::cuda
