// Random shapes over every op and what it may be asked for, on the backends of this machine. A case is made from the seed and its
// number alone, so that one that fails can be run by itself.
//
//   kernel_fuzz [--cases N] [--seed S] [--case I] [--op NAME] [--backend NAME] [--seconds T] [--ledger FILE]
//
// --case: that one alone. --backend: those whose name contains it. --seconds: no case is begun later. --ledger: failures that are known,
// see fuzz_ledger.txt; an entry that holds no longer fails too.
#include <chrono>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "attention_mass_case.h"
#include "embed_case.h"
#include "matmul_case.h"
#include "norm_case.h"
#include "page_copy_case.h"
#include "sample_random.h"

using namespace redllm;
using namespace redllm::test;

namespace {

struct Options {
  int64_t cases = 300, seed = 1, only = -1, seconds = 0;
  std::string op, backend, ledger;
};

void attention(Backend& backend, Backend& twin, Random& random) {
  AttentionSizes sizes = {3, 34, 70, 200};
  if (!emulated(backend) || random.integer(0, 5) == 0) sizes = {5, 260, 300, 1100};
  AttentionCase c = random_attention_case(backend, random, sizes);
  check_attention(backend, twin, c, random, false);
}

void matmul(Backend& backend, Backend& twin, Random& random) {
  const bool large = !emulated(backend) || random.integer(0, 9) == 0;
  check_matmul(backend, twin, random_matmul_case(random, large ? 400 : 150, large ? 6000000 : 200000), random);
}

struct Op {
  const char* name;
  int weight;  // of a hundred cases or so
  void (*run)(Backend& backend, Backend& twin, Random& random);
};

const Op kOps[] = {
    {"attention", 30, attention},
    {"matmul", 30, matmul},
    {"sample", 10,
     [](Backend& backend, Backend& twin, Random& random) {
       check_sample(backend, twin, random_sample_case(random, emulated(backend) ? 1000 : 4099));
     }},
    {"append", 10,
     [](Backend& backend, Backend&, Random& random) { check_append(backend, random_append_case(random, 70), random); }},
    {"norm", 8,
     [](Backend& backend, Backend& twin, Random& random) {
       check_norm(backend, twin, random_norm_case(random, 70, 1100), random);
     }},
    {"embed", 4,
     [](Backend& backend, Backend&, Random& random) { check_embed(backend, random_embed_case(random), random); }},
    {"gather", 3,
     [](Backend& backend, Backend&, Random& random) { check_gather(backend, random_gather_case(random), random); }},
    {"set_history", 3, [](Backend& backend, Backend&, Random& random) { check_history(backend, random); }},
    {"attention_mass", 2,
     [](Backend& backend, Backend& twin, Random& random) {
       check_random_masses(backend, twin, random, {3, 20, 50, 150});
     }},
    {"copy_pages", 2, [](Backend& backend, Backend&, Random& random) { check_copy_pages(backend, random); }},
};

const Op& choose(Random& random) {
  int total = 0;
  for (const Op& op : kOps) total += op.weight;
  int64_t at = random.integer(0, total - 1);
  for (const Op& op : kOps)
    if ((at -= op.weight) < 0) return op;
  return kOps[0];
}

// Known failures: "op seed case" to the reason.
std::map<std::string, std::string> read_ledger(const std::string& path) {
  std::map<std::string, std::string> known;
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string op, seed, number, reason;
    words >> op >> seed >> number;
    std::getline(words >> std::ws, reason);
    if (reason.empty()) throw std::runtime_error(path + ": an entry without a reason: " + line);
    known[op + " " + seed + " " + number] = reason;
  }
  return known;
}

// Cases run, failed, known to fail.
struct Count {
  int64_t run = 0, failed = 0, known = 0;
};

Count fuzz(Backend& backend, Backend& twin, const Options& options, const std::map<std::string, std::string>& ledger) {
  const auto start = std::chrono::steady_clock::now();
  Count count;
  const int64_t first = options.only < 0 ? 0 : options.only, end = options.only < 0 ? options.cases : options.only + 1;
  for (int64_t i = first; i < end; ++i) {
    if (options.seconds > 0 && std::chrono::steady_clock::now() - start > std::chrono::seconds(options.seconds)) break;
    Random random(static_cast<uint64_t>(options.seed) * 1000003 + static_cast<uint64_t>(i));
    const Op& op = choose(random);
    if (!options.op.empty() && options.op != op.name) continue;
    begin(op.name);
    ++count.run;
    const Tally before = tally();
    std::string broken;
    try {
      op.run(backend, twin, random);
    } catch (const std::exception& error) {
      broken = error.what();
    }
    const bool failed = tally().failed > before.failed || !broken.empty();
    const auto entry = ledger.find(std::string(op.name) + " " + std::to_string(options.seed) + " " + std::to_string(i));
    if (entry != ledger.end()) {
      ++count.known;
      tally().failed = before.failed;
      if (!failed) std::fprintf(stderr, "the ledger's entry \"%s\" holds no longer\n", entry->first.c_str());
      count.failed += !failed;
    } else if (failed) {
      ++count.failed;
      std::fprintf(stderr, "%s failed%s%s: kernel_fuzz --backend \"%s\" --seed %lld --case %lld\n", op.name,
                   broken.empty() ? "" : ", ", broken.c_str(), backend.ops().name, (long long)options.seed,
                   (long long)i);
    }
    if (!broken.empty()) break;  // a device that has failed stays so
  }
  return count;
}

int usage() {
  std::fprintf(stderr,
               "usage: kernel_fuzz [--cases N] [--seed S] [--case I] [--op NAME] [--backend NAME] [--seconds T] "
               "[--ledger FILE]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return usage();
    const char* value = argv[i + 1];
    if (name == "--cases") {
      options.cases = std::atoll(value);
    } else if (name == "--seed") {
      options.seed = std::atoll(value);
    } else if (name == "--case") {
      options.only = std::atoll(value);
    } else if (name == "--seconds") {
      options.seconds = std::atoll(value);
    } else if (name == "--op") {
      options.op = value;
    } else if (name == "--backend") {
      options.backend = value;
    } else if (name == "--ledger") {
      options.ledger = value;
    } else {
      return usage();
    }
  }
  try {
    const auto ledger = options.ledger.empty() ? std::map<std::string, std::string>() : read_ledger(options.ledger);
    const auto backends = every_backend();
    Count all;
    for (size_t i = 0; i < backends.size(); i += 2) {
      if (std::string(backends[i]->ops().name).find(options.backend) == std::string::npos) continue;
      const Count count = fuzz(*backends[i], *backends[i + 1], options, ledger);
      std::printf("%s: %lld cases of seed %lld, %lld failed, %lld known to fail\n", backends[i]->ops().name,
                  (long long)count.run, (long long)options.seed, (long long)count.failed, (long long)count.known);
      all.run += count.run;
      all.failed += count.failed;
    }
    if (all.run == 0) std::fprintf(stderr, "no case was run\n");
    return all.run > 0 && all.failed == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
