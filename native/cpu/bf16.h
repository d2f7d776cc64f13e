// Conversions between f32 and the 16-bit floats: plain integer arithmetic, so that every instruction set gives the same bits,
// and loops over them vectorise. Static, because op files may share no inline function (see isa.h).
#pragma once

#include <cstdint>

namespace redllm::cpu {

static inline float float_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

static inline float float_from_bf16(uint16_t value) {
  return float_of_bits(static_cast<uint32_t>(value) << 16);
}

// Nearest, ties to even; a NaN stays one (quiet, sign kept).
static inline uint16_t bf16_from_float(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

static inline float float_from_f16(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000) << 16;
  const uint32_t magnitude = value & 0x7fff;
  if (magnitude >= 0x7c00) return float_of_bits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);  // infinity, NaN
  // Subnormals: the integer counts units of 2^-24, exactly.
  if (magnitude < 0x400) return float_of_bits(sign | bits_of_float(static_cast<float>(magnitude) * 0x1p-24f));
  return float_of_bits(sign | ((magnitude << 13) + (112u << 23)));
}

}  // namespace redllm::cpu
