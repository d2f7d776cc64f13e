// One step, as the flat arrays of src/engine/plan.ts, which says what each of them holds. The arrays belong to the caller, and
// stay where they are for as long as they are bound.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace redllm {

struct Plan {
  const int32_t* counts = nullptr;  // [sources, rows, samples, copies, histories, decode rows]

  const int32_t* sourceStart = nullptr;
  const int32_t* sourceTokens = nullptr;
  const int32_t* sourceState = nullptr;
  const int32_t* sourceFirstLayer = nullptr;
  const int32_t* sourceLastLayer = nullptr;
  const int32_t* sourcePageStart = nullptr;  // [sources * cross groups + 1]
  const int32_t* sourcePages = nullptr;

  const int32_t* rowStart = nullptr;
  const int32_t* tokens = nullptr;
  const int32_t* rowIndex = nullptr;
  const int32_t* rowPosition = nullptr;
  const int32_t* rowPrefix = nullptr;
  const int32_t* rowSourceLength = nullptr;
  const int32_t* rowGroup = nullptr;
  const int32_t* rowPageStart = nullptr;  // [rows * groups + 1]
  const int32_t* rowPages = nullptr;

  const int32_t* copyFrom = nullptr;
  const int32_t* copyTo = nullptr;

  const int32_t* historySlot = nullptr;
  const int32_t* historyPrompt = nullptr;
  const int32_t* historyStart = nullptr;
  const int32_t* historyTokens = nullptr;

  const int32_t* sampleToken = nullptr;
  const int32_t* sampleSlot = nullptr;
  const int32_t* topK = nullptr;
  const int32_t* step = nullptr;
  const int32_t* forced = nullptr;
  const int32_t* alternatives = nullptr;
  const int32_t* candidates = nullptr;
  const int32_t* biasStart = nullptr;
  const int32_t* biasTokens = nullptr;
  const int32_t* allowStart = nullptr;
  const int32_t* allowTokens = nullptr;
  const float* temperature = nullptr;
  const float* topP = nullptr;
  const float* minP = nullptr;
  const float* repetition = nullptr;
  const float* presence = nullptr;
  const float* frequency = nullptr;
  const float* biasValues = nullptr;
  const uint32_t* seed = nullptr;

  int32_t* outToken = nullptr;
  int32_t* outRank = nullptr;
  int32_t* outTopToken = nullptr;
  float* outLogprob = nullptr;
  float* outTopLogprob = nullptr;

  int32_t sources() const { return counts[0]; }
  int32_t rows() const { return counts[1]; }
  int32_t samples() const { return counts[2]; }
  int32_t copies() const { return counts[3]; }
  int32_t histories() const { return counts[4]; }
  // The first so many rows are of RowKind::decode, the rest of RowKind::prefill.
  int32_t decode_rows() const { return counts[5]; }

  // visit(name, pointer) for every array: how the addon binds them by name.
  template <typename Visit>
  void each(Visit visit) {
#define REDLLM_FIELD(name) visit(#name, name)
    REDLLM_FIELD(counts);
    REDLLM_FIELD(sourceStart);
    REDLLM_FIELD(sourceTokens);
    REDLLM_FIELD(sourceState);
    REDLLM_FIELD(sourceFirstLayer);
    REDLLM_FIELD(sourceLastLayer);
    REDLLM_FIELD(sourcePageStart);
    REDLLM_FIELD(sourcePages);
    REDLLM_FIELD(rowStart);
    REDLLM_FIELD(tokens);
    REDLLM_FIELD(rowIndex);
    REDLLM_FIELD(rowPosition);
    REDLLM_FIELD(rowPrefix);
    REDLLM_FIELD(rowSourceLength);
    REDLLM_FIELD(rowGroup);
    REDLLM_FIELD(rowPageStart);
    REDLLM_FIELD(rowPages);
    REDLLM_FIELD(copyFrom);
    REDLLM_FIELD(copyTo);
    REDLLM_FIELD(historySlot);
    REDLLM_FIELD(historyPrompt);
    REDLLM_FIELD(historyStart);
    REDLLM_FIELD(historyTokens);
    REDLLM_FIELD(sampleToken);
    REDLLM_FIELD(sampleSlot);
    REDLLM_FIELD(topK);
    REDLLM_FIELD(step);
    REDLLM_FIELD(forced);
    REDLLM_FIELD(alternatives);
    REDLLM_FIELD(candidates);
    REDLLM_FIELD(biasStart);
    REDLLM_FIELD(biasTokens);
    REDLLM_FIELD(allowStart);
    REDLLM_FIELD(allowTokens);
    REDLLM_FIELD(temperature);
    REDLLM_FIELD(topP);
    REDLLM_FIELD(minP);
    REDLLM_FIELD(repetition);
    REDLLM_FIELD(presence);
    REDLLM_FIELD(frequency);
    REDLLM_FIELD(biasValues);
    REDLLM_FIELD(seed);
    REDLLM_FIELD(outToken);
    REDLLM_FIELD(outRank);
    REDLLM_FIELD(outTopToken);
    REDLLM_FIELD(outLogprob);
    REDLLM_FIELD(outTopLogprob);
#undef REDLLM_FIELD
  }
};

// Greatest counts of one step (src/native.ts, StepLimits).
struct StepLimits {
  int32_t tokens = 0;
  int32_t rows = 0;
  int32_t source_tokens = 0;
  int32_t sources = 0;
  int32_t samples = 0;
  int32_t alternatives = 0;
  int32_t max_source = 0;
  int32_t max_target = 0;
};

// Throws std::runtime_error("plan: " what) where it does not hold.
inline void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("plan: ") + what);
}

}  // namespace redllm
