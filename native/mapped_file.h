// A file mapped for reading.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace redllm {

class MappedFile {
 public:
  // Throws std::runtime_error with the path and the system's reason.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Throws std::runtime_error where the file ends before offset + bytes.
  const char* at(uint64_t offset, uint64_t bytes) const;

 private:
  std::string path_;
  void* data_ = nullptr;
  uint64_t size_ = 0;
};

// Files by path, each mapped when first asked for.
class MappedFiles {
 public:
  const MappedFile& open(const std::string& path);

 private:
  std::map<std::string, std::unique_ptr<MappedFile>> files_;
};

}  // namespace redllm
