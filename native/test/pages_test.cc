// How decoder layers share pages: one group for all, or one for each reach, all cut to the same size.
#include "pages.h"

#include "check.h"
#include "paper_models.h"

using namespace redllm;
using namespace redllm::test;

namespace {

ModelSpec model(int32_t layers, bool encoder, int32_t full_every) {
  ModelSpec spec = paper_model({64, 64, 4, 16, layers, 32}, encoder);
  for (int32_t i = 0; i < layers; ++i) {
    if (full_every > 0 && (i + 1) % full_every != 0) spec.decoder.layers[i].self.block.window_back = 31;
  }
  return spec;
}

// Every place is in a group of the right kind, and no two layers have the same.
void check_places(const PageLayout& layout, int32_t layers, bool encoder) {
  std::vector<int32_t> taken(layout.groups.size() * layout.layers, 0);
  for (int32_t i = 0; i < layers; ++i) {
    for (bool cross : {false, true}) {
      if (cross && !encoder) continue;
      PagePlace place = cross ? layout.cross[i] : layout.self[i];
      if (!CHECK(place.group >= 0 && place.layer >= 0 && place.layer < layout.layers)) continue;
      CHECK(layout.groups[place.group].cross == cross);
      CHECK(++taken[place.group * layout.layers + place.layer] == 1);
    }
  }
  for (int32_t count : taken) CHECK(count == 1);
}

}  // namespace

int main() {
  begin("one reach");
  PageLayout dec = lay_out_pages(model(8, false, 0), DType::bf16);
  CHECK(dec.groups.size() == 1 && dec.layers == 8 && dec.cross_groups == 0);
  check_places(dec, 8, false);
  PageLayout red = lay_out_pages(model(3, true, 0), DType::f32);
  CHECK(red.groups.size() == 2 && red.layers == 3 && red.cross_groups == 1 && red.groups[1].cross);
  check_places(red, 3, true);

  begin("windows");
  PageLayout halves = lay_out_pages(model(26, true, 2), DType::f32);
  CHECK(halves.layers == 13 && halves.groups.size() == 4 && halves.cross_groups == 2);
  check_places(halves, 26, true);
  for (int32_t i = 0; i < 26; ++i) CHECK(halves.groups[halves.self[i].group].window == (i % 2 == 0 ? 31 : 0));
  PageLayout sixths = lay_out_pages(model(18, false, 6), DType::f32);
  CHECK(sixths.layers == 3 && sixths.groups.size() == 6);
  check_places(sixths, 18, false);

  begin("mixed shapes");
  ModelSpec mixed = model(2, false, 0);
  mixed.decoder.layers[1].self.block.kv_heads = 2;
  CHECK(throws([&] { lay_out_pages(mixed, DType::f32); }));
  return report();
}
