// A file to read weights from. Read, not mapped: a file that is cut short while it is mapped kills its reader with SIGBUS, and
// since weights are packed once and never looked at again, a map would save nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace redllm {

class StoredFile {
 public:
  // Throws std::runtime_error with the path and the system's reason.
  explicit StoredFile(const std::string& path);
  ~StoredFile();
  StoredFile(const StoredFile&) = delete;
  StoredFile& operator=(const StoredFile&) = delete;

  // Throws std::runtime_error where the file ends before offset + bytes, or cannot be read.
  void read(uint64_t offset, uint64_t bytes, void* to) const;

 private:
  std::string path_;
  int descriptor_;
};

// Files by path, each opened when first asked for.
class StoredFiles {
 public:
  const StoredFile& open(const std::string& path);

 private:
  std::map<std::string, std::unique_ptr<StoredFile>> files_;
};

}  // namespace redllm
