// Pages copied whole, the others left alone.
#pragma once

#include "guarded.h"

namespace redllm::test {

inline void check_copy_pages(Backend& backend, Random& random) {
  const DType type = any_type(random);
  PagePool pool = {nullptr,
                   type,
                   24,
                   static_cast<int32_t>(random.integer(1, 3)),
                   static_cast<int32_t>(random.integer(1, 3)),
                   static_cast<int32_t>(8 * random.integer(1, 5))};
  const size_t page = backend.ops().page_bytes(type, pool.layers, pool.kv_heads, pool.head_dim);
  Guarded<unsigned char> memory(page * static_cast<size_t>(pool.pages));
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<unsigned char>(random.next());
  pool.data = memory.data();
  std::vector<unsigned char> want(memory.data(), memory.data() + memory.size());
  std::vector<int32_t> order(static_cast<size_t>(pool.pages));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  order = shuffled(order, random);
  const int32_t count = static_cast<int32_t>(random.integer(0, 12));
  for (int32_t i = 0; i < count; ++i)
    std::copy_n(want.begin() + static_cast<int64_t>(page) * order[i], page,
                want.begin() + static_cast<int64_t>(page) * order[12 + i]);
  backend.ops().copy_pages(backend.context(), {pool, order.data(), order.data() + 12, count});
  CHECK(std::equal(want.begin(), want.end(), memory.data()));
  CHECK(memory.intact());
}

}  // namespace redllm::test
