// The K/V pool of a model: which layers share page tables, and the memory that the pages lie in.
//
// Layers that reach equally far back form a group; groups are cut to one common number of layers, so that every page has the
// same size and any page may serve any group, self or cross.
#pragma once

#include <cstdint>
#include <vector>

#include "ops.h"
#include "spec.h"

namespace redllm {

struct PageGroup {
  bool cross = false;
  int32_t window = 0;  // tokens back that a query sees; 0: all
};

// Where a decoder layer's keys and values lie: its group, and its place in that group's pages.
struct PagePlace {
  int32_t group = -1;
  int32_t layer = 0;
};

struct PageLayout {
  DType type = DType::f32;
  int32_t layers = 0;  // a page
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  std::vector<PageGroup> groups;  // self groups first, then cross groups
  int32_t cross_groups = 0;
  std::vector<PagePlace> self, cross;  // [decoder layers]

  uint64_t page_bytes(const Ops& ops) const { return ops.page_bytes(type, layers, kv_heads, head_dim); }
};

// Pages that so many tokens take in one group.
inline int32_t pages_for(int32_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

// Throws std::runtime_error where layers differ in kv_heads or head_dim.
PageLayout lay_out_pages(const ModelSpec& spec, DType compute);

}  // namespace redllm
