#include "step_inputs.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace redllm {

void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("plan: ") + what);
}

int32_t pages_for(int32_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

// ---- tokens ---------------------------------------------------------------------------------------------------------------

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

// ---- sources --------------------------------------------------------------------------------------------------------------

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

// ---- rows -----------------------------------------------------------------------------------------------------------------

RowInputs::RowInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, const PageLayout& layout)
    : arrays_(arrays),
      limits_(limits),
      groups_(static_cast<int32_t>(layout.groups.size())),
      self_groups_(groups_ - layout.cross_groups),
      tokens_(arrays, windows_of(spec.decoder), self_groups_, limits.tokens),
      query_start_(arrays.take<int32_t>(limits.rows + 1)),
      decode_start_(arrays.take<int32_t>(limits.rows + 1)),
      source_right_(arrays.take<int32_t>(limits.tokens)),
      source_left_(arrays.take<int32_t>(limits.tokens)),
      group_(arrays.take<int32_t>(limits.rows)),
      ids_(arrays.take<int32_t>(limits.tokens)),
      pages_(arrays.take<int32_t>(16 * static_cast<int64_t>(limits.rows))) {
  for (int32_t group = 0; group < groups_; ++group) page_start_.push_back(arrays.take<int32_t>(limits.rows));
}

void RowInputs::fill(const Plan& plan, int32_t padded, int32_t vocabulary, int32_t pool_pages, int32_t chosen) {
  int32_t rows = plan.rows(), tokens = plan.rowStart[rows];
  require(tokens <= limits_.tokens, "too many tokens");
  require(plan.decode_rows() >= 0 && plan.decode_rows() <= rows, "more decode rows than rows");
  pass_ = {};
  if (!arrays_.host_memory()) {
    pass_.decode_sequences = plan.decode_rows();
    pass_.decode_tokens = plan.rowStart[plan.decode_rows()];
  }
  for (int32_t row = 0; row < rows; ++row) fill_row(plan, row, vocabulary, pool_pages, chosen);
  query_start_.host[rows - pass_.decode_sequences] = tokens - pass_.decode_tokens;
  for (; rows < padded; ++rows, ++tokens) pad(rows, tokens);
  if (padded > plan.rows()) pass_.decode_sequences = pass_.decode_tokens = padded;
  decode_start_.host[pass_.decode_sequences] = pass_.decode_tokens;

  pass_.tokens = tokens;
  pass_.sequences = rows;
  tokens_.send(arrays_, tokens);
  pass_.query_start = arrays_.send(query_start_, rows - pass_.decode_sequences + 1);
  pass_.decode_start = arrays_.send(decode_start_, pass_.decode_sequences + 1);
  pass_.sequence = tokens_.sequence.device;
  pass_.index = tokens_.index.device;
  pass_.position = tokens_.position.device;
  pass_.source_left = source_left_.device;
  pass_.source_right = arrays_.send(source_right_, tokens);
  pass_.group = arrays_.send_from(group_, plan.rowGroup, plan.rows(), rows, -1);
  pass_.masks = &tokens_.masks;
  for (const StepArray<int32_t>& start : page_start_) arrays_.send(start, rows);
  sent_ids_ = arrays_.send_from(ids_, plan.tokens, plan.rowStart[plan.rows()], tokens, 0);
  int32_t entries = plan.rowPageStart[plan.rows() * groups_];
  sent_pages_ = arrays_.send_from(pages_, plan.rowPages, entries);
}

void RowInputs::fill_row(const Plan& plan, int32_t row, int32_t vocabulary, int32_t pool_pages, int32_t chosen) {
  int32_t index = plan.rowIndex[row], start = plan.rowStart[row], length = plan.rowStart[row + 1] - start;
  require(index >= 0 && length > 0 && index + length <= limits_.max_target, "a row is too long");
  require(plan.rowPosition[row] >= 0 && plan.rowPosition[row] + length <= limits_.max_source + limits_.max_target,
          "a row stands at no position");
  require(plan.rowPrefix[row] <= index + length, "a prompt that sees itself whole was cut");
  bool prefill = row >= pass_.decode_sequences;
  if (prefill) {
    query_start_.host[row - pass_.decode_sequences] = start - pass_.decode_tokens;
    pass_.max_queries = std::max(pass_.max_queries, length);
  } else {
    decode_start_.host[row] = start;
    pass_.max_decode_queries = std::max(pass_.max_decode_queries, length);
  }
  pass_.max_keys = std::max({pass_.max_keys, index + length, plan.rowPrefix[row]});
  pass_.max_source_keys = std::max(pass_.max_source_keys, plan.rowSourceLength[row]);
  pass_.source_pairs += static_cast<uint64_t>(length) * static_cast<uint64_t>(plan.rowSourceLength[row]);
  const int32_t* page_start = plan.rowPageStart + row * groups_;
  for (int32_t group = 0; group < groups_; ++group) {
    int32_t keys = group < self_groups_ ? index + length : plan.rowSourceLength[row];
    require(page_start[group] + pages_for(keys) <= page_start[group + 1], "a row has too few pages");
    page_start_[group].host[row] = page_start[group];
  }
  for (int32_t j = 0, t = start; j < length; ++j, ++t) {
    int32_t token = plan.tokens[t];
    require(token < 0 || token < vocabulary, "a token is not in the vocabulary");
    require(token >= 0 || ~token < chosen, "a token refers to a sample that was not taken");
    tokens_.set(t, index + j, plan.rowPosition[row] + j, std::max(index + j + 1, plan.rowPrefix[row]));
    tokens_.sequence.host[t] = prefill ? row - pass_.decode_sequences : row;
    tokens_.in_page.host[t] = (index + j) % kPageTokens;
    source_right_.host[t] = plan.rowSourceLength[row];
    for (int32_t group = 0; group < self_groups_; ++group) {
      int32_t page = plan.rowPages[page_start[group] + (index + j) / kPageTokens];
      require(page >= 0 && page < pool_pages, "a row has a page that does not exist");
      tokens_.page[group].host[t] = page;
    }
  }
}

void RowInputs::pad(int32_t row, int32_t token) {
  tokens_.set(token, 0, 0, 0);
  tokens_.sequence.host[token] = row;
  tokens_.in_page.host[token] = 0;
  source_right_.host[token] = 0;
  decode_start_.host[row] = token;
  for (int32_t group = 0; group < groups_; ++group) page_start_[group].host[row] = 0;
  for (StepArray<int32_t>& page : tokens_.page) page.host[token] = -1;
}

Keys RowInputs::keys(PagePlace place) const {
  bool self = place.group < self_groups_;
  return {{},
          place.layer,
          sent_pages_,
          page_start_[place.group].device,
          self ? tokens_.page[place.group].device : nullptr,
          tokens_.in_page.device};
}

// ---- samples --------------------------------------------------------------------------------------------------------------

SampleInputs::SampleInputs(StepArrays& arrays, const StepLimits& limits) : arrays_(arrays), limits_(limits) {
  for (StepArray<int32_t>* array :
       {&token_, &slot_, &top_k_, &step_, &forced_, &alternatives_, &candidates_, &bias_start_, &allow_start_}) {
    *array = arrays.take<int32_t>(limits.samples + 1);
  }
  for (StepArray<float>* array : {&temperature_, &top_p_, &min_p_, &repetition_, &presence_, &frequency_})
    *array = arrays.take<float>(limits.samples);
  seed_ = arrays.take<uint32_t>(2 * limits.samples);
  // Most requests bring none of these.
  for (StepArray<int32_t>* array : {&bias_tokens_, &allow_tokens_, &history_tokens_}) *array = arrays.take<int32_t>(64);
  bias_values_ = arrays.take<float>(64);
}

void SampleInputs::check(const Plan& plan, int32_t vocabulary) const {
  int32_t tokens = plan.rowStart[plan.rows()];
  for (int32_t i = 0; i < plan.samples(); ++i) {
    require(plan.sampleToken[i] >= 0 && plan.sampleToken[i] < tokens, "a sample of no token");
    require(plan.alternatives[i] <= limits_.alternatives, "too many alternatives");
    require(plan.sampleSlot[i] < limits_.rows, "no such history slot");
    require(plan.forced[i] < vocabulary, "a forced token is not in the vocabulary");
    for (int32_t j = plan.biasStart[i]; j < plan.biasStart[i + 1]; ++j) {
      require(plan.biasTokens[j] >= 0 && plan.biasTokens[j] < vocabulary, "a biased token is not in the vocabulary");
    }
    for (int32_t j = plan.allowStart[i]; j < plan.allowStart[i + 1]; ++j) {
      require(plan.allowTokens[j] >= 0 && plan.allowTokens[j] < vocabulary,
              "an allowed token is not in the vocabulary");
    }
  }
  for (int32_t i = 0; i < plan.histories(); ++i)
    require(plan.historySlot[i] >= 0 && plan.historySlot[i] < limits_.rows, "no such history slot");
}

void SampleInputs::fill(const Plan& plan, int32_t padded, int32_t vocabulary, SampleArgs& args) {
  check(plan, vocabulary);
  int32_t count = plan.samples();
  if (plan.histories() > 0)
    sent_history_ = arrays_.send_from(history_tokens_, plan.historyTokens, plan.historyStart[plan.histories()]);
  if (count == 0) return;
  sent_token_ = arrays_.send_from(token_, plan.sampleToken, count, padded, 0);
  args.slot = arrays_.send_from(slot_, plan.sampleSlot, count, padded, -1);
  args.temperature = arrays_.send_from(temperature_, plan.temperature, count, padded);
  args.top_p = arrays_.send_from(top_p_, plan.topP, count, padded, 1.0f);
  args.min_p = arrays_.send_from(min_p_, plan.minP, count, padded);
  args.repetition = arrays_.send_from(repetition_, plan.repetition, count, padded, 1.0f);
  args.presence = arrays_.send_from(presence_, plan.presence, count, padded);
  args.frequency = arrays_.send_from(frequency_, plan.frequency, count, padded);
  args.top_k = arrays_.send_from(top_k_, plan.topK, count, padded);
  args.seed = arrays_.send_from(seed_, plan.seed, 2 * count, 2 * padded);
  args.step = arrays_.send_from(step_, plan.step, count, padded);
  args.forced = arrays_.send_from(forced_, plan.forced, count, padded, 0);
  args.alternatives = arrays_.send_from(alternatives_, plan.alternatives, count, padded, -1);
  args.candidates = arrays_.send_from(candidates_, plan.candidates, count, padded);
  int32_t biases = plan.biasStart[count], allowed = plan.allowStart[count];
  args.bias_start = arrays_.send_from(bias_start_, plan.biasStart, count + 1, padded + 1, biases);
  args.allow_start = arrays_.send_from(allow_start_, plan.allowStart, count + 1, padded + 1, allowed);
  args.bias_token = arrays_.send_from(bias_tokens_, plan.biasTokens, biases);
  args.bias_value = arrays_.send_from(bias_values_, plan.biasValues, biases);
  args.allow_token = arrays_.send_from(allow_tokens_, plan.allowTokens, allowed);
}

}  // namespace redllm
