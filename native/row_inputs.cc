#include "row_inputs.h"

#include <algorithm>

namespace redllm {

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

}  // namespace redllm
