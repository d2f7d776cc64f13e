// What lies where inside a page of the K/V pool, the same for every instruction set.
//
//   page = [layers][kv_heads] of { K [head_dim][kPageTokens] | V [kPageTokens][value_width] }, in elements of the pool's type
//
// K is transposed so that the products of one query with the page's 16 keys fill a vector without sums across lanes; V lies as the
// sum over keys reads it. value_width is head_dim rounded up to 16, so that rows of V end with a whole vector of any set.
#pragma once

#include "ops.h"

namespace redllm::cpu {

static constexpr int64_t value_width(int32_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}

// Elements of K and V of one head in one page.
static constexpr int64_t page_head_size(int32_t head_dim) {
  return kPageTokens * (head_dim + value_width(head_dim));
}

// Element offsets, for one pool and layer.
struct PageLayout {
  int64_t page;   // from a page to the next
  int64_t layer;  // from the page's start to the layer
  int64_t head;   // from a head of the layer to the next
  int64_t value;  // from a head's K to its V
};

static constexpr PageLayout page_layout(const PagePool& pool, int32_t layer) {
  const int64_t head = page_head_size(pool.head_dim);
  return {pool.layers * pool.kv_heads * head, layer * pool.kv_heads * head, head, int64_t{kPageTokens} * pool.head_dim};
}

}  // namespace redllm::cpu
