// What lanes of the emulator do, alone and together: arithmetic, shuffles and products of matrices.
#include <cfloat>

#include "cuda/emu/block.h"
#include "emulator_case.h"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

void test_arithmetic() {
  begin("arithmetic");
  CHECK(exp2_fast(-INFINITY) == 0 && exp2_fast(-127) == 0 && exp2_fast(-126) == 0x1p-126f && exp2_fast(3) == 8);
  CHECK(std::isnan(exp2_fast(NAN)));
  CHECK(to_bf16(1.0f) == 0x3f80 && to_bf16(1.00390625f) == 0x3f80 && to_bf16(1.01171875f) == 0x3f82);
  CHECK(to_bf16(NAN) == 0x7fff && to_bf16(INFINITY) == 0x7f80 && to_bf16(-3e38f) == 0xff62);
  CHECK(to_bf16(FLT_MAX) == 0x7f80);
  CHECK(pack_bf16(1, 2) == 0x40003f80u && low_bf16(0x40003f80u) == 1 && high_bf16(0x40003f80u) == 2);
  int32_t number = 5;
  CHECK(atomic_min(&number, 3) == 5 && number == 3 && atomic_add(&number, -4) == 3 && number == -1);
  uint32_t word = 5;
  CHECK(atomic_max(&word, 3u) == 5 && word == 5 && atomic_max(&word, 9u) == 5 && word == 9);
}

struct Shuffles {
  int32_t* out;  // [blocks][threads][8]
};

__global__ void shuffles(Shuffles p) {
  await_earlier_launches();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  int32_t* out = p.out + (int64_t{blockIdx.x} * blockDim.x + thread) * 8;
  out[0] = shuffle_xor(thread, 5);
  out[1] = shuffle(thread, (lane * 7) % 32);
  out[2] = shuffle_down(thread, 3);
  out[3] = shuffle_up(thread, 3);
  out[4] = static_cast<int32_t>(ballot(lane % 3 == 0));
  out[5] = any_lane(thread == 40);
  out[6] = all_lanes(thread < 32);
  out[7] = static_cast<int32_t>(shuffle(int64_t{thread} << 33, 1) >> 33);
}

void test_shuffles(Context* context) {
  begin("shuffles");
  std::vector<int32_t> out(2 * 64 * 8);
  run(context, "shuffles", shuffles, dim3(2), 64, 0, Shuffles{out.data()});
  for (int block = 0; block < 2; ++block)
    for (int thread = 0; thread < 64; ++thread) {
      const int32_t* got = &out[(block * 64 + thread) * 8];
      const int lane = thread % 32, base = thread - lane;
      CHECK(got[0] == base + (lane ^ 5));
      CHECK(got[1] == base + lane * 7 % 32);
      CHECK(got[2] == (lane + 3 < 32 ? thread + 3 : thread));
      CHECK(got[3] == (lane >= 3 ? thread - 3 : thread));
      CHECK(got[4] == static_cast<int32_t>(0x49249249u));
      CHECK(got[5] == (base == 32));
      CHECK(got[6] == (base == 0));
      CHECK(got[7] == base + 1);
    }
}

// A product of one tile, a [16, 16] and b [8, 16] row by row, as kernels do it: copied to shared memory, loaded as fragments.
struct Product {
  const uint16_t* a;
  const uint16_t* b;  // [8 columns, 16 k], or [16 k, 8 columns] where transposed
  float* d;           // [16, 8]
  bool transposed;
};

__global__ void product(Product p) {
  await_earlier_launches();
  uint16_t* a = reinterpret_cast<uint16_t*>(shared_memory());
  uint16_t* b = a + 256;
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  copy_async(a + lane * 8, p.a + lane * 8, true);
  copy_async_commit();
  copy_async(b + lane * 8, p.b + lane % 16 * 8, lane < 16);
  copy_async_commit();
  copy_async_wait<0>();
  sync_warp();
  uint32_t left[4], right[4];
  load_matrices(left, a + lane % 16 * 16 + lane / 16 * 8);
  if (p.transposed)
    load_matrices_transposed(right, b + lane % 16 * 8);
  else
    load_matrices(right, b + lane % 8 * 16 + lane / 8 % 2 * 8);
  float d[4] = {p.d[g * 8 + 2 * t], p.d[g * 8 + 2 * t + 1], p.d[(g + 8) * 8 + 2 * t], p.d[(g + 8) * 8 + 2 * t + 1]};
  multiply_add(d, left, right[0], right[1]);
  for (int i = 0; i < 4; ++i) p.d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

void test_product(Context* context) {
  begin("product");
  Random random(1);
  for (const bool transposed : {false, true}) {
    alignas(16) uint16_t a[256], b[128];
    float d[128], want[128];
    for (uint16_t& x : a) x = to_bf16(random.real());
    for (uint16_t& x : b) x = to_bf16(random.real());
    for (float& x : d) x = random.real();
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        float sum = d[i * 8 + j];
        for (int k = 0; k < 16; ++k)
          sum = std::fma(from_bf16(a[i * 16 + k]), from_bf16(transposed ? b[k * 8 + j] : b[j * 16 + k]), sum);
        want[i * 8 + j] = sum;
      }
    run(context, "product", product, dim3(1), 32, 1024, Product{a, b, d, transposed});
    CHECK(std::memcmp(d, want, sizeof d) == 0);
  }
}

}  // namespace

int main() {
  Context context = {};
  test_arithmetic();
  for (uint64_t order = 0; order < 5; ++order) {
    emu::set_order(order);
    test_shuffles(&context);
    test_product(&context);
  }
  CHECK(context.failure[0] == 0);
  return report();
}
