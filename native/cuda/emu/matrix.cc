// Fragments of matrices, for a whole warp at a time. With g = lane / 4 and t = lane % 4, as in ptx.cuh.
#include "cuda/emu/block.h"

namespace redllm::cuda::emu {

void load_matrices(Slot (&slots)[kLanes], bool transposed) {
  const uint16_t* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) std::memcpy(&rows[i], slots[i].words, sizeof rows[i]);
  for (int i = 0; i < kLanes; ++i) {
    const int g = i / 4, t = i % 4;
    for (int j = 0; j < 4; ++j) {
      const uint16_t* const* matrix = rows + 8 * j;
      const uint32_t low = transposed ? matrix[2 * t][g] : matrix[g][2 * t];
      const uint32_t high = transposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
      slots[i].words[j] = high << 16 | low;
    }
  }
}

// A product of two bf16 has 16 significant bits and is exact in f32: multiplying and adding gives what a chain of fma gives, in ascending k.
void multiply_add(Slot (&slots)[kLanes]) {
  typedef float Four __attribute__((vector_size(16)));
  alignas(16) float a[16][16], b[16][8], d[16][8];
  const auto low = [](uint32_t pair) { return std::bit_cast<float>(pair << 16); };
  const auto high = [](uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); };
  for (int i = 0; i < kLanes; ++i) {
    const int g = i / 4, t = i % 4;
    const Slot& slot = slots[i];
    for (int j = 0; j < 4; ++j) {
      float* pair = &a[g + j % 2 * 8][2 * t + j / 2 * 8];
      pair[0] = low(slot.words[j]);
      pair[1] = high(slot.words[j]);
    }
    for (int j = 0; j < 2; ++j) {
      b[2 * t + 8 * j][g] = low(slot.words[4 + j]);
      b[2 * t + 8 * j + 1][g] = high(slot.words[4 + j]);
      std::memcpy(&d[g + 8 * j][2 * t], &slot.d[2 * j], 8);
    }
  }
  for (int i = 0; i < 16; i += 4) {
    Four sums[4][2];
    std::memcpy(sums, d[i], sizeof sums);
    for (int k = 0; k < 16; ++k) {
      Four columns[2];
      std::memcpy(columns, b[k], sizeof columns);
      for (int r = 0; r < 4; ++r) {
        const float x = a[i + r][k];
        const Four row = {x, x, x, x};
        sums[r][0] += row * columns[0];
        sums[r][1] += row * columns[1];
      }
    }
    std::memcpy(d[i], sums, sizeof sums);
  }
  for (int i = 0; i < kLanes; ++i)
    for (int j = 0; j < 2; ++j) std::memcpy(&slots[i].d[2 * j], &d[i / 4 + 8 * j][i % 4 * 2], 8);
}

}  // namespace redllm::cuda::emu
