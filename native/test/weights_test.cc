// Weights on their way from a file: every stored type, any size of piece, and files that are gone or have shrunk.
#include "weights.h"

#include <unistd.h>

#include <filesystem>

#include "check.h"
#include "cpu/backend.h"
#include "cpu/bf16.h"
#include "paper_models.h"

using namespace redllm;
using namespace redllm::test;

namespace {

const PaperSize kSmall{24, 40, 2, 8, 1, 37};

struct Checkpoint {
  std::string path;
  WeightSource source;
  std::map<std::string, std::vector<float>> values;
  uint64_t bytes = 0;
};

void add(Checkpoint& checkpoint, FILE* file, const WeightRef& ref, DType type, Random& random) {
  if (checkpoint.values.count(ref.name)) return;
  int64_t count = 1;
  for (int64_t size : ref.shape) count *= size;
  checkpoint.source.tensors[ref.name] = {checkpoint.path, checkpoint.bytes, type};
  std::vector<float>& values = checkpoint.values[ref.name];
  for (int64_t i = 0; i < count; ++i) {
    // Multiples of 1/64 below 2 are exact in every type.
    float value = static_cast<float>(random.integer(-127, 127)) / 64;
    values.push_back(value);
    uint16_t half = cpu::bf16_from_float(value);
    if (type == DType::f16) {
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      half = value == 0 ? 0
                        : static_cast<uint16_t>(((bits >> 16) & 0x8000) | ((((bits >> 23) & 255) - 112) << 10) |
                                                ((bits >> 13) & 1023));
    }
    std::fwrite(type == DType::f32 ? static_cast<void*>(&value) : &half, size_of(type), 1, file);
    checkpoint.bytes += size_of(type);
  }
}

Checkpoint write_checkpoint(const ModelSpec& spec) {
  Checkpoint checkpoint;
  checkpoint.path = std::filesystem::temp_directory_path() / "redllm-weights-XXXXXX";
  int descriptor = mkstemp(checkpoint.path.data());
  FILE* file = fdopen(descriptor, "wb");
  Random random(3);
  int turn = 0;
  auto next = [&](const WeightRef& ref) {
    add(checkpoint, file, ref, turn % 3 == 0 ? DType::f32 : turn % 3 == 1 ? DType::bf16 : DType::f16, random);
    ++turn;
  };
  const LayerSpec& layer = spec.decoder.layers[0];
  next(spec.decoder.embedding);
  for (const LinearSpec* linear :
       {&layer.self.block.query, &layer.self.block.key, &layer.self.block.value, &layer.self.block.output,
        &*layer.feed_forward.block.gate, &layer.feed_forward.block.up, &layer.feed_forward.block.down}) {
    next(linear->weight);
  }
  for (const NormSpec* norm : {&*layer.self.pre, &*layer.feed_forward.pre, &*spec.decoder.final_norm})
    next(*norm->gain);
  std::fclose(file);
  return checkpoint;
}

// Row `row` of a packed table, as the embedding op reads it.
std::vector<float> row_of(Backend& backend, const Weight& table, int32_t row) {
  std::vector<float> out(static_cast<size_t>(table.k));
  backend.ops().embed(backend.context(),
                      {&row, nullptr, 1, table, 1, nullptr, nullptr, {out.data(), DType::f32, 1, table.k}});
  return out;
}

}  // namespace

int main() {
  cpu::Backend backend(1);
  ModelSpec spec = paper_model(kSmall, false);
  spec.decoder.layers[0].self.pre->gain_offset = 1;
  Checkpoint checkpoint = write_checkpoint(spec);

  for (uint64_t piece : {uint64_t{1}, uint64_t{1000}, uint64_t{1} << 30}) {
    begin("pieces");
    Weights weights(spec, DType::f32, backend.ops(), backend.context(), checkpoint.source);
    uint64_t before = 0;
    while (!weights.done()) {
      weights.load_some(piece);
      CHECK(weights.loaded_bytes() > before);
      before = weights.loaded_bytes();
    }
    CHECK(weights.loaded_bytes() == weights.total_bytes());
    // Q, K and V are one matrix, row after row; the head is the embedding.
    const Weight& heads = weights.decoder.layers[0].self.block.input.weight;
    const std::string at = "layers.0.self_attn.";
    for (int32_t row = 0; row < heads.n; ++row) {
      const char* part[] = {"q_proj.weight", "k_proj.weight", "v_proj.weight"};
      const std::vector<float>& values = checkpoint.values[at + part[row / 16]];
      std::vector<float> expected(values.begin() + row % 16 * 24, values.begin() + (row % 16 + 1) * 24);
      CHECK(row_of(backend, heads, row) == expected);
    }
    CHECK(weights.head.weight.data == weights.decoder.embedding.data);
    const std::vector<float>& gain = checkpoint.values["layers.0.input_layernorm.weight"];
    for (size_t i = 0; i < gain.size(); ++i) CHECK(weights.decoder.layers[0].self.pre.gain[i] == gain[i] + 1);
  }

  begin("random");
  WeightSource random;
  random.random = true;
  random.seed = 7;
  Weights drawn(spec, DType::f32, backend.ops(), backend.context(), random);
  drawn.load_some(1 << 20);
  Weights again(spec, DType::f32, backend.ops(), backend.context(), random);
  while (!again.done()) again.load_some(100);
  double sum = 0, squares = 0;
  for (int32_t row = 0; row < kSmall.vocabulary; ++row) {
    std::vector<float> values = row_of(backend, drawn.decoder.embedding, row);
    CHECK(values == row_of(backend, again.decoder.embedding, row));
    for (float value : values) sum += value, squares += value * value;
  }
  double count = kSmall.vocabulary * kSmall.width;
  CHECK(std::fabs(sum / count) < 0.05 && std::fabs(squares / count * kSmall.width - 1) < 0.2);
  CHECK(drawn.decoder.layers[0].self.pre.gain[0] == 1);

  begin("a file cut short while it is read");
  Weights cut(spec, DType::f32, backend.ops(), backend.context(), checkpoint.source);
  cut.load_some(1000);
  CHECK(truncate(checkpoint.path.c_str(), static_cast<off_t>(checkpoint.bytes / 2)) == 0);
  CHECK(throws([&] { cut.load_some(1 << 30); }));

  begin("broken files");
  CHECK(truncate(checkpoint.path.c_str(), static_cast<off_t>(checkpoint.bytes - 1)) == 0);
  CHECK(throws(
      [&] { Weights(spec, DType::f32, backend.ops(), backend.context(), checkpoint.source).load_some(1 << 30); }));
  unlink(checkpoint.path.c_str());
  CHECK(throws(
      [&] { Weights(spec, DType::f32, backend.ops(), backend.context(), checkpoint.source).load_some(1 << 30); }));
  return report();
}
