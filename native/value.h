// A tree of plain values, as JSON has them: how a spec reaches the core without the core knowing where it came from.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace redllm {

class Value {
 public:
  enum class Kind { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string string;
  std::vector<Value> array;
  std::map<std::string, Value> object;

  bool has(const std::string& key) const { return find(key) != nullptr; }
  // Null where the key is absent (or holds null).
  const Value* find(const std::string& key) const {
    auto found = object.find(key);
    return found == object.end() || found->second.kind == Kind::null ? nullptr : &found->second;
  }
  // Throws std::runtime_error that names the key: the spec was checked before it came here, so a gap is a fault of ours.
  const Value& at(const std::string& key, Kind wanted) const {
    const Value* value = find(key);
    if (!value || value->kind != wanted)
      throw std::runtime_error("model spec: " + key + " is missing or of the wrong kind");
    return *value;
  }
  double num(const std::string& key) const { return at(key, Kind::number).number; }
  double num(const std::string& key, double otherwise) const { return has(key) ? num(key) : otherwise; }
  const std::string& str(const std::string& key) const { return at(key, Kind::string).string; }
};

}  // namespace redllm
