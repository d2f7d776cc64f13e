// Packed weights: the same bytes from every instruction set, whatever the source type and the grouping of rows; and the
// embedding that reads rows back out of them.
#include "cpu/packed_layout.h"
#include "test/matmul_data.h"

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

// The layout in words, straight from its definition; what no logical element owns stays zero.
std::vector<unsigned char> expected_bytes(DType type, int32_t n, int32_t k, bool gated,
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

void packed_bytes(const char* isa) {
  begin("packed bytes");
  cpu::Backend backend(2, isa);
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
          const std::vector<unsigned char> expected = expected_bytes(type, n, k, gated, values);
          if (!CHECK(bytes == expected.size())) continue;
          const Weight to{ops.allocate(backend.context(), bytes), type, n, k, gated};
          // Groups of rows in random sizes, the last of them first.
          for (int32_t end = n; end > 0;) {
            const int32_t count = static_cast<int32_t>(random.integer(1, end < 70 ? end : 70));
            end -= count;
            ops.pack(backend.context(), {to, end, count, source + int64_t{end} * k * int64_t(size_of(from)), from});
          }
          CHECK(std::memcmp(to.data, expected.data(), bytes) == 0);
          ops.release(backend.context(), to.data, bytes);
        }
}

void embedding(const char* isa) {
  begin("embedding");
  cpu::Backend backend(2, isa);
  Random random(4);
  for (DType type : {DType::f32, DType::bf16})
    for (auto [vocabulary, width] : {std::pair{1, 1}, {50, 33}, {200, 64}, {77, 172}})
      for (int32_t count : {1, 2, 40})
        for (bool with_positions : {false, true}) {
          const Matrix table(random, type, vocabulary, width);
          const Packed packed(backend, table, false);
          const std::vector<float> positions = random.reals(size_t(9 * width));
          std::vector<int32_t> tokens, index;
          for (int32_t i = 0; i < count; ++i) {
            tokens.push_back(static_cast<int32_t>(random.integer(0, vocabulary - 1)));
            index.push_back(static_cast<int32_t>(random.integer(0, 8)));
          }
          Output out(DType::f32, count, width);
          const float scale = 2.75f;
          backend.ops().embed(backend.context(), {tokens.data(), nullptr, count, packed.weight, scale,
                                                  with_positions ? positions.data() : nullptr,
                                                  with_positions ? index.data() : nullptr, out.tensor()});
          bool held = out.guards_hold();
          for (int32_t i = 0; i < count; ++i)
            for (int32_t c = 0; c < width; ++c) {
              float expected = table.exact[size_t(tokens[size_t(i)] * width + c)] * scale;
              if (with_positions) expected += positions[size_t(index[size_t(i)] * width + c)];
              held = held && out.at(i * width + c) == expected;
            }
          CHECK(held);
        }
}

void memory_is_zero() {
  begin("memory is zero");
  cpu::Backend backend(1);
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{4097}, uint64_t{3} << 20}) {
    char* data = static_cast<char*>(backend.ops().allocate(backend.context(), bytes));
    if (!CHECK(data != nullptr)) continue;
    CHECK(reinterpret_cast<uintptr_t>(data) % 64 == 0);
    bool zero = true;
    for (uint64_t i = 0; i < bytes; ++i) zero = zero && data[i] == 0;
    CHECK(zero);
    if (bytes > 0) data[0] = data[bytes - 1] = 1;
    backend.ops().release(backend.context(), data, bytes);
  }
  CHECK(backend.ops().allocate(backend.context(), UINT64_MAX) == nullptr);
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
  memory_is_zero();
  instruction_sets_by_name();
  for (const char* isa : isas()) {
    packed_bytes(isa);
    embedding(isa);
  }
  return report();
}
