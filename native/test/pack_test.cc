// Packed weights: the bytes of the documented layout, whatever the source type and the grouping of rows; and the embedding
// that reads rows back out of them.
#include "cpu/backend.h"
#include "cpu/bf16.h"
#include "cpu/isa.h"
#include "embed_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

void bf16_rounds_to_nearest_even() {
  begin("bf16 rounds to nearest even");
  const auto round = [](uint32_t bits) { return cpu::bf16_from_float(cpu::float_of_bits(bits)); };
  CHECK(round(0x3f800000) == 0x3f80);
  CHECK(round(0x3f808000) == 0x3f80);  // a tie, down to even
  CHECK(round(0x3f818000) == 0x3f82);  // a tie, up to even
  CHECK(round(0x3f808001) == 0x3f81);
  CHECK(round(0x7f7fffff) == 0x7f80);  // beyond the greatest: infinity
  CHECK(round(0xff800000) == 0xff80);
  CHECK(round(0x7f800001) == 0x7fc0);  // a NaN whose payload lies in the lower half
  CHECK(round(0xffc00001) == 0xffc0);
  CHECK(round(0x80000000) == 0x8000);
  CHECK(round(0x00018000) == 0x0002);  // subnormals round like the others
}

void f16_is_exact() {
  begin("f16 is exact");
  CHECK(cpu::float_from_f16(0x3c00) == 1.0f);
  CHECK(cpu::float_from_f16(0xc100) == -2.5f);
  CHECK(cpu::float_from_f16(0x7bff) == 65504.0f);
  CHECK(cpu::float_from_f16(0x0001) == 0x1p-24f);
  CHECK(cpu::float_from_f16(0x83ff) == -1023 * 0x1p-24f);
  CHECK(cpu::float_from_f16(0x0400) == 0x1p-14f);
  CHECK(cpu::float_from_f16(0x7c00) == INFINITY);
  CHECK(cpu::float_from_f16(0xfc00) == -INFINITY);
  CHECK(std::isnan(cpu::float_from_f16(0x7c01)));
  CHECK(cpu::bits_of_float(cpu::float_from_f16(0x8000)) == 0x80000000u);
}

// The layouts in words, straight from their definitions; what no logical element owns stays zero.
std::vector<unsigned char> expected_on_device(DType type, int32_t n, int32_t k, bool gated,
                                              const std::vector<float>& values) {
  const int64_t pitch = (k + 63) / 64 * 64, half = n / 2;
  const int64_t rows = gated ? (half + 7) / 8 * 16 : (n + 15) / 16 * 16;
  std::vector<unsigned char> bytes(static_cast<size_t>(rows * pitch) * size_of(type), 0);
  for (int32_t row = 0; row < n; ++row) {
    const int64_t pair = row % (gated ? half : n);
    const int64_t at = gated ? pair / 8 * 16 + pair % 8 + (row >= half ? 8 : 0) : row;
    for (int32_t i = 0; i < k; ++i) {
      unsigned char* to = bytes.data() + static_cast<size_t>(at * pitch + i) * size_of(type);
      const float value = values[size_t(row) * size_t(k) + size_t(i)];
      const uint16_t half_value = bf16_of(value);
      type == DType::f32 ? std::memcpy(to, &value, 4) : std::memcpy(to, &half_value, 2);
    }
  }
  return bytes;
}

std::vector<unsigned char> expected_on_cpu(DType type, int32_t n, int32_t k, bool gated,
                                           const std::vector<float>& values) {
  const int64_t width = gated ? 16 : 32, logical = gated ? n / 2 : n;
  const int64_t panels = (logical + width - 1) / width, per_step = type == DType::bf16 ? 2 : 1;
  const int64_t steps = (k + per_step - 1) / per_step;
  std::vector<unsigned char> bytes(size_t(panels * steps * 128), 0);
  for (int32_t row = 0; row < n; ++row) {
    const int64_t pair = gated ? row % logical : row;
    const int64_t column = pair % width + (gated && row >= logical ? 16 : 0);
    for (int32_t i = 0; i < k; ++i) {
      unsigned char* to = bytes.data() + ((pair / width * steps + i / per_step) * 32 + column) * 4;
      const float value = values[size_t(row) * size_t(k) + size_t(i)];
      if (type == DType::f32) {
        std::memcpy(to, &value, 4);
      } else {
        const uint16_t half = cpu::bf16_from_float(value);
        std::memcpy(to + i % 2 * 2, &half, 2);
      }
    }
  }
  return bytes;
}

void packed_bytes(Backend& backend) {
  const Ops& ops = backend.ops();
  Random random(3);
  for (DType type : {DType::f32, DType::bf16})
    for (DType from : {DType::f32, DType::bf16, DType::f16})
      for (bool gated : {false, true})
        for (auto [n, k] : {std::pair{1, 1}, {2, 3}, {64, 64}, {62, 172}, {100, 33}, {130, 129}}) {
          if (gated && n % 2 != 0) continue;
          std::vector<float> values = random.reals(size_t(n) * size_t(k));
          std::vector<uint16_t> halves;
          if (from == DType::bf16)
            for (float& value : values)
              halves.push_back(cpu::bf16_from_float(value)), value = cpu::float_from_bf16(halves.back());
          if (from == DType::f16)
            for (float& value : values) {
              halves.push_back(static_cast<uint16_t>(random.integer(0, 0x7bff) | random.integer(0, 1) << 15));
              value = cpu::float_from_f16(halves.back());
            }
          const char* source = from == DType::f32 ? reinterpret_cast<const char*>(values.data())
                                                  : reinterpret_cast<const char*>(halves.data());
          const uint64_t bytes = ops.weight_bytes(type, n, k, gated);
          const std::vector<unsigned char> expected = on_device(backend) ? expected_on_device(type, n, k, gated, values)
                                                                         : expected_on_cpu(type, n, k, gated, values);
          if (!CHECK(bytes == expected.size())) continue;
          const Weight to{ops.allocate(backend.context(), bytes), type, n, k, gated};
          // Groups of rows in random sizes, the last of them first.
          for (int32_t end = n; end > 0;) {
            const int32_t count = static_cast<int32_t>(random.integer(1, end < 70 ? end : 70));
            end -= count;
            ops.pack(backend.context(), {to, end, count, source + int64_t{end} * k * int64_t(size_of(from)), from});
          }
          const auto got = fetched<unsigned char>(backend, to.data, (bytes + 3) / 4 * 4);
          CHECK(std::memcmp(got.data(), expected.data(), bytes) == 0);
          ops.release(backend.context(), to.data, bytes);
        }
}

void instruction_sets_by_name() {
  begin("instruction sets by name");
  CHECK(cpu::ops_for("plain") != nullptr);
  CHECK(cpu::ops_for("auto") == nullptr);
  CHECK(cpu::ops_for("") == nullptr);
  CHECK(cpu::ops_for(cpu::isa_name(cpu::best_isa())) != nullptr);
  bool threw = false;
  try {
    cpu::Backend backend(1, "sse9");
  } catch (const std::exception&) {
    threw = true;
  }
  CHECK(threw);
  CHECK(cpu::default_threads() >= 1);
}

}  // namespace

int main() {
  bf16_rounds_to_nearest_even();
  f16_is_exact();
  instruction_sets_by_name();
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    packed_bytes(*backend);
    Random random(4);
    for (int round = 0; round < rounds(*backend, 60, 30); ++round) {
      check_embed(*backend, random_embed_case(random), random);
      check_gather(*backend, random_gather_case(random), random);
    }
  }
  return report();
}
