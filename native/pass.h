// The tokens that a pass through a stack runs over, and what each of them may see. Pointers are the backend's.
#pragma once

#include <cstdint>
#include <vector>

#include "mask.h"
#include "ops.h"
#include "probe.h"

namespace redllm {

struct Pass {
  int32_t tokens = 0;
  int32_t sequences = 0;
  // The first so many tokens and sequences are of RowKind::decode, the rest of RowKind::prefill. Zero where the backend's memory is the
  // host's: such a backend has one kernel for both, and takes them in one call.
  int32_t decode_tokens = 0;
  int32_t decode_sequences = 0;
  int32_t max_queries = 0;         // of a sequence of kind prefill
  int32_t max_decode_queries = 1;  // of a sequence of kind decode
  int32_t max_keys = 0;            // no `right` of any mask is greater
  int32_t max_source_keys = 0;     // nor any source_right

  const int32_t* query_start = nullptr;   // [sequences of kind prefill + 1] counted from the first token of that kind
  const int32_t* decode_start = nullptr;  // [sequences of kind decode + 1]; unused where there are none
  const int32_t* sequence = nullptr;      // [tokens] counted from the first sequence of the token's kind
  const int32_t* group = nullptr;         // [sequences] rows with one source, or null
  const int32_t* index = nullptr;         // [tokens] place among the row's own keys
  const int32_t* position = nullptr;      // [tokens] for rotations and position tables
  const int32_t* source_left = nullptr;   // [tokens] zeros
  const int32_t* source_right = nullptr;  // [tokens] number of the source's keys
  const std::vector<Mask>* masks = nullptr;
  uint64_t source_pairs = 0;  // of a query and a key of its source
  Probe* probe = nullptr;     // looks at the attention of every layer; null: nobody does

  Tensor x;             // f32 [tokens, width] the residual stream
  bool copied = false;  // the layers' input scratch holds x in the compute type
};

// Where one attention finds its keys, and where new ones go.
struct Keys {
  PagePool pool;
  int32_t layer = 0;
  const int32_t* pages = nullptr;
  const int32_t* page_start = nullptr;     // [sequences]
  const int32_t* token_page = nullptr;     // [tokens]
  const int32_t* token_in_page = nullptr;  // [tokens]
};

}  // namespace redllm
