// Queries and pages after an append, against a double-precision loop. Keys and values are read back through the documented layout.
#include "append_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

// Rounding to bf16 at the edges: ties, a carry into the exponent, overflow, subnormals, NaN.
void rounding(Backend& backend) {
  const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x3fffffff, 0x7f7fffff,
                           0xff7fffff, 0x00000001, 0x80008000, 0x00018000, 0x7f800000, 0xff800000,
                           0x7f800001, 0xffc00000, 0x7fffffff, 0x80000000};
  std::vector<float> x(32);
  for (int i = 0; i < 16; ++i) x[i] = x[16 + i] = float_of(bits[i]);
  PagePool pool = {nullptr, DType::bf16, 1, 1, 1, 16};
  Guarded<unsigned char> memory(backend.ops().page_bytes(DType::bf16, 1, 1, 16));
  pool.data = memory.data();
  const std::vector<int32_t> zero = {0};
  AppendArgs args = {};
  args.x = {x.data(), DType::f32, 1, 32};
  args.kv_heads = 1;
  args.head_dim = 16;
  args.pool = pool;
  args.page = args.in_page = zero.data();
  backend.ops().append(backend.context(), args);
  const PageElements at(backend, pool, 0);
  const auto* elements = reinterpret_cast<const uint16_t*>(memory.data());
  for (int i = 0; i < 16; ++i) {
    for (const int64_t place : {at.key(0, 0, 0, i), at.value(0, 0, 0, i)})
      CHECK(elements[place] == bf16_of(x[i]) || (on_device(backend) && std::isnan(x[i]) &&  // a device knows one NaN
                                                 std::isnan(float_of_bf16(elements[place]))));
  }
}

}  // namespace

int main() {
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    Random random(3);
    for (int round = 0; round < rounds(*backend, 60, 30); ++round)
      check_append(*backend, random_append_case(random, 50), random);
    rounding(*backend);
  }
  return report();
}
