// What a step's tokens, sources and samples are to the ops: the plan, checked, spread over arrays of one entry a token.
#pragma once

#include <cstdint>
#include <vector>

#include "pages.h"
#include "pass.h"
#include "plan.h"
#include "spec.h"
#include "step_arrays.h"

namespace redllm {

// Throws std::runtime_error("plan: " what) where it does not hold.
void require(bool held, const char* what);

int32_t pages_for(int32_t tokens);

// Arrays of one entry a token, of sources or of rows.
struct TokenArrays {
  TokenArrays(StepArrays& arrays, const std::vector<Window>& windows, int32_t page_groups, int64_t tokens);

  // Index, position and what the windows leave of the mask, for token t.
  void set(int64_t t, int32_t key_index, int32_t key_position, int32_t right);
  // Sends all, `count` entries each, and points `masks` at them.
  void send(StepArrays& arrays, int64_t count);
  // Of a query among tokens [begin, begin + count) and a key that it sees, under one of the windows.
  uint64_t pairs(size_t window, int64_t begin, int64_t count) const;

  struct Narrowed {
    Window window;
    StepArray<int32_t> left, right;
  };
  StepArray<int32_t> index, position, sequence, in_page;
  std::vector<StepArray<int32_t>> page;  // by page group: where the token's keys go; -1: nowhere
  std::vector<Narrowed> narrowed;
  std::vector<Mask> masks;
};

// Sources that stand side by side and are due for the same layers run as one.
struct SourceRun {
  int32_t first_layer = 0, last_layer = 0;
  int64_t state = 0;  // first row in the encoder's state buffer
  const int32_t* tokens = nullptr;
  Pass pass;
  Keys keys;                                // of one layer of the encoder; the pool is the caller's to set
  std::vector<Mask> masks;                  // that `pass` points to
  std::vector<const int32_t*> cross_pages;  // by cross group: [tokens] pages that receive the keys and values
};

class SourceInputs {
 public:
  SourceInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, int32_t cross_groups);

  // Checks the plan's sources and queues their arrays. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t vocabulary, int32_t pool_pages);
  std::vector<SourceRun>& runs() { return runs_; }

 private:
  void fill_run(const Plan& plan, int32_t first, int32_t last, int32_t vocabulary, int32_t pool_pages);

  StepArrays& arrays_;
  const StepLimits limits_;
  const int32_t layers_, cross_groups_;
  TokenArrays tokens_;  // page group 0: of the encoder's own scratch; then the cross groups
  StepArray<int32_t> query_start_, page_start_, ids_, table_;
  std::vector<SourceRun> runs_;
};

class RowInputs {
 public:
  RowInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, const PageLayout& layout);

  // Checks the plan's rows and queues their arrays, filled up to `padded` rows of one token that see nothing and write nothing.
  // chosen: samples of the launch before. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t padded, int32_t vocabulary, int32_t pool_pages, int32_t chosen);
  const Pass& pass() const { return pass_; }
  const int32_t* tokens() const { return sent_ids_; }
  // The keys of one layer; the pool is the caller's to set.
  Keys keys(PagePlace place) const;

 private:
  void fill_row(const Plan& plan, int32_t row, int32_t vocabulary, int32_t pool_pages, int32_t chosen);
  void pad(int32_t row, int32_t token);

  StepArrays& arrays_;
  const StepLimits limits_;
  const int32_t groups_, self_groups_;
  TokenArrays tokens_;
  StepArray<int32_t> query_start_, decode_start_, source_right_, source_left_, group_, ids_, pages_;
  std::vector<StepArray<int32_t>> page_start_;  // by page group
  Pass pass_;
  const int32_t *sent_ids_ = nullptr, *sent_pages_ = nullptr;
};

class SampleInputs {
 public:
  SampleInputs(StepArrays& arrays, const StepLimits& limits);

  // Checks the plan's samples and histories and queues their arrays, filled up to `padded` samples of the first token that report
  // nothing. Sets those fields of `args` that are inputs. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t padded, int32_t vocabulary, SampleArgs& args);
  const int32_t* token() const { return sent_token_; }
  const int32_t* history_tokens() const { return sent_history_; }

 private:
  void check(const Plan& plan, int32_t vocabulary) const;

  StepArrays& arrays_;
  const StepLimits limits_;
  StepArray<int32_t> token_, slot_, top_k_, step_, forced_, alternatives_, candidates_, bias_start_, allow_start_;
  StepArray<int32_t> bias_tokens_, allow_tokens_, history_tokens_;
  StepArray<float> temperature_, top_p_, min_p_, repetition_, presence_, frequency_, bias_values_;
  StepArray<uint32_t> seed_;
  const int32_t *sent_token_ = nullptr, *sent_history_ = nullptr;
};

}  // namespace redllm
