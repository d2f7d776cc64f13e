// T5's buckets at the edges that are easy to get wrong: where exact ones end, where the last one begins, and on which side.
#include "relative_bias.h"

#include "check.h"

using namespace redllm;
using namespace redllm::test;

int main() {
  RelativeBiasSpec both{{}, 32, 128, true}, back{{}, 32, 128, false};

  begin("bidirectional");
  for (int32_t far = 0; far < 8; ++far) {
    CHECK(relative_bucket(-far, both) == far);
    if (far > 0) CHECK(relative_bucket(far, both) == 16 + far);
  }
  CHECK(relative_bucket(-8, both) == 8 && relative_bucket(-11, both) == 8 && relative_bucket(-12, both) == 9);
  CHECK(relative_bucket(-90, both) == 14 && relative_bucket(-91, both) == 15);
  CHECK(relative_bucket(90, both) == 30 && relative_bucket(91, both) == 31);
  CHECK(relative_bucket(-100000, both) == 15 && relative_bucket(100000, both) == 31);

  begin("decoder");
  for (int32_t far = 0; far < 16; ++far) CHECK(relative_bucket(-far, back) == far);
  CHECK(relative_bucket(5, back) == 0);
  CHECK(relative_bucket(-112, back) == 30 && relative_bucket(-113, back) == 31 && relative_bucket(-100000, back) == 31);

  begin("table");
  std::vector<float> weights(32 * 3);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i);
  std::vector<float> table(3 * 257);
  fill_relative_bias(both, 3, weights.data(), table.data());
  for (int32_t head = 0; head < 3; ++head) {
    for (int32_t distance = -128; distance <= 128; ++distance) {
      CHECK(table[head * 257 + distance + 128] == weights[relative_bucket(distance, both) * 3 + head]);
    }
  }
  return report();
}
