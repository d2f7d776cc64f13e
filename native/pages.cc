#include "pages.h"

#include <map>
#include <numeric>
#include <stdexcept>

namespace redllm {
namespace {

// Splits the layers of one reach into groups of `size` and notes where each layer went.
void add_groups(PageLayout& layout, const std::vector<int32_t>& layers, int32_t size, PageGroup group,
                std::vector<PagePlace>& places) {
  for (size_t i = 0; i < layers.size(); ++i) {
    if (i % size == 0) layout.groups.push_back(group);
    places[layers[i]] = {static_cast<int32_t>(layout.groups.size()) - 1, static_cast<int32_t>(i % size)};
  }
}

}  // namespace

PageLayout lay_out_pages(const ModelSpec& spec, DType compute) {
  PageLayout layout;
  layout.type = compute;
  const AttentionSpec& first = spec.decoder.layers[0].self.block;
  layout.kv_heads = first.kv_heads;
  layout.head_dim = first.head_dim;

  std::map<int32_t, std::vector<int32_t>> by_window;
  std::vector<int32_t> crossing;
  int32_t count = static_cast<int32_t>(spec.decoder.layers.size());
  auto check = [&](const AttentionSpec& attention) {
    if (attention.kv_heads != layout.kv_heads || attention.head_dim != layout.head_dim) {
      throw std::runtime_error(
          "model spec: keys and values differ in shape between decoder layers, which is not served");
    }
  };
  for (int32_t i = 0; i < count; ++i) {
    const LayerSpec& layer = spec.decoder.layers[i];
    check(layer.self.block);
    by_window[layer.self.block.window_back.value_or(0)].push_back(i);
    if (layer.cross) {
      check(layer.cross->block);
      crossing.push_back(i);
    }
  }
  int32_t size = static_cast<int32_t>(crossing.size());
  for (const auto& [window, layers] : by_window) size = std::gcd(size, static_cast<int32_t>(layers.size()));
  layout.layers = size;
  layout.self.resize(count);
  layout.cross.resize(count);
  for (const auto& [window, layers] : by_window) add_groups(layout, layers, size, {false, window}, layout.self);
  size_t self_groups = layout.groups.size();
  add_groups(layout, crossing, size, {true, 0}, layout.cross);
  layout.cross_groups = static_cast<int32_t>(layout.groups.size() - self_groups);
  return layout;
}

}  // namespace redllm
