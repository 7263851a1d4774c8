// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/error.h"

namespace jax_hps {
namespace {

int open_or_throw(const std::string& path, int flags, const char* what) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0) throw Error::io(what, path);
  return fd;
}

}  // namespace

File File::open_read(const std::string& path) {
  return File(open_or_throw(path, O_RDONLY, "cannot open"), path);
}

File File::create(const std::string& path) {
  return File(open_or_throw(path, O_WRONLY | O_CREAT | O_EXCL, "cannot create"), path);
}

File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

void File::write(const void* data, size_t size) {
  const char* p = static_cast<const char*>(data);
  while (size > 0) {
    // Linux writes at most about 2 GiB in one call.
    const ssize_t n = ::write(fd_, p, std::min<size_t>(size, size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::io("cannot write", path_);
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void File::read_at(void* data, size_t size, uint64_t offset) const {
  char* p = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n =
        ::pread(fd_, p, std::min<size_t>(size, size_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::io("cannot read", path_);
    if (n == 0) {
      throw Error(ErrorCode::kCorrupt,
                  path_ + ": ends at byte " + std::to_string(offset) + ", " + std::to_string(size) +
                      " bytes before it should. Restore the file or write the table anew.");
    }
    p += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
}

uint64_t File::size() const {
  struct stat status;
  if (::fstat(fd_, &status) != 0) throw Error::io("cannot stat", path_);
  return static_cast<uint64_t>(status.st_size);
}

void File::start_writeback() const { ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE); }

void File::sync() const {
  if (::fdatasync(fd_) != 0) throw Error::io("cannot fdatasync", path_);
}

void sync_folder(const std::string& path) {
  const File folder = File::open_read(path);
  if (::fsync(folder.fd()) != 0) throw Error::io("cannot fsync", path);
}

}  // namespace jax_hps
