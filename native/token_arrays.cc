#include "token_arrays.h"

#include <algorithm>

namespace redllm {

TokenArrays::TokenArrays(StepArrays& arrays, const std::vector<Window>& windows, int32_t page_groups, int64_t tokens) {
  for (StepArray<int32_t>* array : {&index, &position, &sequence, &in_page}) *array = arrays.take<int32_t>(tokens);
  for (int32_t group = 0; group < page_groups; ++group) page.push_back(arrays.take<int32_t>(tokens));
  for (const Window& window : windows)
    narrowed.push_back({window, arrays.take<int32_t>(tokens), arrays.take<int32_t>(tokens)});
  masks.resize(windows.size());
}

void TokenArrays::set(int64_t t, int32_t key_index, int32_t key_position, int32_t right) {
  index.host[t] = key_index;
  position.host[t] = key_position;
  for (Narrowed& mask : narrowed) {
    const Window& window = mask.window;
    mask.left.host[t] = window.back ? std::max(0, key_index - *window.back) : 0;
    mask.right.host[t] = window.ahead ? std::min(right, key_index + *window.ahead + 1) : right;
  }
}

void TokenArrays::send(StepArrays& arrays, int64_t count) {
  for (const StepArray<int32_t>* array : {&index, &position, &sequence, &in_page}) arrays.send(*array, count);
  for (const StepArray<int32_t>& array : page) arrays.send(array, count);
  for (size_t i = 0; i < narrowed.size(); ++i)
    masks[i] = {narrowed[i].window, arrays.send(narrowed[i].left, count), arrays.send(narrowed[i].right, count),
                pairs(i, 0, count)};
}

uint64_t TokenArrays::pairs(size_t window, int64_t begin, int64_t count) const {
  const int32_t *left = narrowed[window].left.host + begin, *right = narrowed[window].right.host + begin;
  uint64_t sum = 0;
  for (int64_t t = 0; t < count; ++t) sum += static_cast<uint32_t>(std::max(0, right[t] - left[t]));
  return sum;
}

}  // namespace redllm
