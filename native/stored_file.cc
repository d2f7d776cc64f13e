#include "stored_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace redllm {

StoredFile::StoredFile(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw std::runtime_error(path + " cannot be opened: " + std::strerror(errno));
#ifdef POSIX_FADV_SEQUENTIAL
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
}

StoredFile::~StoredFile() {
  ::close(descriptor_);
}

void StoredFile::read(uint64_t offset, uint64_t bytes, void* to) const {
  char* next = static_cast<char*>(to);
  while (bytes > 0) {
    ssize_t count = ::pread(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw std::runtime_error(path_ + " cannot be read: " + std::strerror(errno));
    if (count == 0) throw std::runtime_error(path_ + " has shrunk since it was checked");
    next += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
}

const StoredFile& StoredFiles::open(const std::string& path) {
  std::unique_ptr<StoredFile>& file = files_[path];
  if (!file) file = std::make_unique<StoredFile>(path);
  return *file;
}

}  // namespace redllm
