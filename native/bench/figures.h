// Figures of a run: printed as they come, kept with their repetitions, written as JSON.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace redllm::bench {

inline double median(std::vector<double> values) {
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Figure {
  std::string what, unit;
  std::vector<double> repetitions;  // in the unit
  double microseconds;              // of the median; 0: it is no time
};

// One JSON array of figures; each is printed as it comes.
class Figures {
 public:
  void add(const std::string& what, const std::string& unit, std::vector<double> repetitions, double microseconds = 0) {
    all_.push_back({what, unit, std::move(repetitions), microseconds});
    const Figure& f = all_.back();
    std::printf("%-72s %10.2f %s", f.what.c_str(), median(f.repetitions), f.unit.c_str());
    if (f.microseconds > 0) std::printf("  (%.1f us)", f.microseconds);
    std::printf("\n");
    std::fflush(stdout);
  }
  // `amount`: what one launch did, of which `scale` are one of the unit.
  void add_rate(const std::string& what, const std::string& unit, const std::vector<double>& seconds, double amount,
                double scale) {
    std::vector<double> rates;
    for (double s : seconds) rates.push_back(amount / s / scale);
    add(what, unit, rates, median(seconds) * 1e6);
  }
  std::string json() const {
    std::string text = "[";
    char line[64];
    for (const Figure& f : all_) {
      text += (text.size() > 1 ? ",\n" : "\n") + ("  {\"what\": \"" + f.what) + "\", \"unit\": \"" + f.unit +
              "\", \"median\": ";
      std::snprintf(line, sizeof line, "%.5g", median(f.repetitions));
      text += line + std::string(", \"repetitions\": [");
      for (size_t i = 0; i < f.repetitions.size(); ++i) {
        std::snprintf(line, sizeof line, "%s%.5g", i > 0 ? ", " : "", f.repetitions[i]);
        text += line;
      }
      std::snprintf(line, sizeof line, "], \"microseconds\": %.5g}", f.microseconds);
      text += line;
    }
    return text + "\n]\n";
  }

 private:
  std::vector<Figure> all_;
};

}  // namespace redllm::bench
