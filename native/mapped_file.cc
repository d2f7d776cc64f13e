#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace redllm {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw std::runtime_error(path + " cannot be opened: " + std::strerror(errno));
  struct stat status;
  bool known = ::fstat(descriptor, &status) == 0;
  size_ = known ? static_cast<uint64_t>(status.st_size) : 0;
  if (size_ > 0) data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  int reason = errno;
  ::close(descriptor);
  if (!known || data_ == MAP_FAILED) {
    data_ = nullptr;
    throw std::runtime_error(path + " cannot be mapped: " + std::strerror(reason));
  }
  if (data_) ::madvise(data_, size_, MADV_SEQUENTIAL);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
}

const char* MappedFile::at(uint64_t offset, uint64_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) throw std::runtime_error(path_ + " has shrunk since it was checked");
  return static_cast<const char*>(data_) + offset;
}

const MappedFile& MappedFiles::open(const std::string& path) {
  std::unique_ptr<MappedFile>& file = files_[path];
  if (!file) file = std::make_unique<MappedFile>(path);
  return *file;
}

}  // namespace redllm
