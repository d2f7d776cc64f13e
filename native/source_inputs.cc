#include "source_inputs.h"

#include <algorithm>
#include <utility>

#include "pages.h"

namespace redllm {

SourceInputs::SourceInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, int32_t cross_groups)
    : arrays_(arrays),
      limits_(limits),
      layers_(static_cast<int32_t>(spec.encoder->layers.size())),
      cross_groups_(cross_groups),
      tokens_(arrays, windows_of(*spec.encoder), 1 + cross_groups, limits.source_tokens),
      query_start_(arrays.take<int32_t>(2 * limits.sources)),
      page_start_(arrays.take<int32_t>(limits.sources)),
      ids_(arrays.take<int32_t>(1)),
      table_(arrays.take<int32_t>(pages_for(limits.source_tokens) + limits.sources)) {
  for (uint64_t page = 0; page < table_.capacity; ++page) table_.host[page] = static_cast<int32_t>(page);
  arrays.send(table_, table_.capacity);
}

void SourceInputs::fill(const Plan& plan, int32_t vocabulary, int32_t pool_pages) {
  runs_.clear();
  for (int32_t first = 0, last; first < plan.sources(); first = last) {
    for (last = first + 1; last < plan.sources(); ++last) {
      int32_t before = plan.sourceStart[last] - plan.sourceStart[last - 1];
      if (plan.sourceFirstLayer[last] != plan.sourceFirstLayer[first] ||
          plan.sourceLastLayer[last] != plan.sourceLastLayer[first] ||
          plan.sourceState[last] != plan.sourceState[last - 1] + before) {
        break;
      }
    }
    fill_run(plan, first, last, vocabulary, pool_pages);
  }
  if (runs_.empty()) return;
  int32_t tokens = plan.sourceStart[plan.sources()];
  tokens_.send(arrays_, tokens);
  arrays_.send(query_start_, plan.sources() + runs_.size());
  arrays_.send(page_start_, plan.sources());
  const int32_t* ids = arrays_.send_from(ids_, plan.sourceTokens, tokens);
  for (SourceRun& run : runs_) {
    int64_t begin = run.tokens - plan.sourceTokens;
    run.tokens = ids + begin;
    for (size_t i = 0; i < tokens_.masks.size(); ++i) {
      const Mask& mask = tokens_.masks[i];
      run.masks.push_back(
          {mask.window, mask.left + begin, mask.right + begin, tokens_.pairs(i, begin, run.pass.tokens)});
    }
    run.pass.masks = &run.masks;
  }
}

void SourceInputs::fill_run(const Plan& plan, int32_t first, int32_t last, int32_t vocabulary, int32_t pool_pages) {
  int32_t begin = plan.sourceStart[first], tokens = plan.sourceStart[last] - begin, page = 0;
  SourceRun run;
  run.state = plan.sourceState[first];
  run.first_layer = plan.sourceFirstLayer[first];
  run.last_layer = plan.sourceLastLayer[first];
  require(begin >= 0 && tokens > 0 && run.state >= 0 && run.state + tokens <= limits_.source_tokens &&
              begin + tokens <= limits_.source_tokens,
          "sources leave the encoder's state buffer");
  require(run.first_layer >= 0 && run.first_layer <= run.last_layer && run.last_layer <= layers_,
          "no such range of layers");
  int32_t* query_start = query_start_.host + first + runs_.size();
  for (int32_t s = first; s < last; ++s) {
    int32_t length = plan.sourceStart[s + 1] - plan.sourceStart[s];
    require(length > 0 && length <= limits_.max_source, "a source has no token, or too many");
    page_start_.host[s] = page;
    query_start[s - first] = plan.sourceStart[s] - begin;
    for (int32_t j = 0, t = plan.sourceStart[s]; j < length; ++j, ++t) {
      require(plan.sourceTokens[t] >= 0 && plan.sourceTokens[t] < vocabulary,
              "a source token is not in the vocabulary");
      tokens_.set(t, j, j, length);
      tokens_.sequence.host[t] = s - first;
      tokens_.in_page.host[t] = j % kPageTokens;
      tokens_.page[0].host[t] = page + j / kPageTokens;
      for (int32_t group = 0; run.last_layer == layers_ && group < cross_groups_; ++group) {
        int32_t to = plan.sourcePages[plan.sourcePageStart[s * cross_groups_ + group] + j / kPageTokens];
        require(to >= 0 && to < pool_pages, "a source has a page that does not exist");
        tokens_.page[1 + group].host[t] = to;
      }
    }
    page += pages_for(length);
    run.pass.max_queries = std::max(run.pass.max_queries, length);
  }
  query_start[last - first] = tokens;

  run.tokens = plan.sourceTokens + begin;
  run.pass.tokens = tokens;
  run.pass.sequences = last - first;
  run.pass.max_keys = run.pass.max_queries;
  run.pass.query_start = query_start_.device + first + runs_.size();
  run.pass.sequence = tokens_.sequence.device + begin;
  run.pass.index = tokens_.index.device + begin;
  run.pass.position = tokens_.position.device + begin;
  run.keys = {
      {}, 0, table_.device, page_start_.device + first, tokens_.page[0].device + begin, tokens_.in_page.device + begin};
  for (int32_t group = 0; group < cross_groups_; ++group)
    run.cross_pages.push_back(tokens_.page[1 + group].device + begin);
  runs_.push_back(std::move(run));
}

}  // namespace redllm
