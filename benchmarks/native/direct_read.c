// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// Random reads past the page cache at a fixed queue depth, by Linux' native aio.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kMaxDepth = 256, kAlignment = 4096 };

struct reader {
  aio_context_t context;
  int file;
  int depth;
  int64_t block_bytes;
  void* buffers;
  struct iocb requests[kMaxDepth];
};

// Opens a file for `direct_read`; 0, or an errno. The queue is made here because it takes
// the kernel longer to make and to drop one than to read a few hundred blocks.
int direct_open(struct reader** made, const char* path, int64_t block_bytes, int depth) {
  if (depth < 1 || depth > kMaxDepth) return EINVAL;
  struct reader* reader = calloc(1, sizeof *reader);
  if (!reader) return ENOMEM;
  reader->depth = depth;
  reader->block_bytes = block_bytes;
  reader->file = open(path, O_RDONLY | O_DIRECT);
  if (reader->file < 0) return errno;
  const int error = posix_memalign(&reader->buffers, kAlignment, depth * block_bytes);
  if (error) return error;
  if (syscall(SYS_io_setup, depth, &reader->context)) return errno;
  *made = reader;
  return 0;
}

void direct_close(struct reader* reader) {
  syscall(SYS_io_destroy, reader->context);
  close(reader->file);
  free(reader->buffers);
  free(reader);
}

static void prepare(struct reader* reader, int slot, int64_t offset) {
  struct iocb* request = &reader->requests[slot];
  memset(request, 0, sizeof *request);
  request->aio_fildes = reader->file;
  request->aio_lio_opcode = IOCB_CMD_PREAD;
  request->aio_buf = (uintptr_t)reader->buffers + slot * reader->block_bytes;
  request->aio_nbytes = reader->block_bytes;
  request->aio_offset = offset;
  request->aio_data = slot;
}

static int submit(struct reader* reader, struct iocb** requests, int count) {
  if (count == 0) return 0;
  const long taken = syscall(SYS_io_submit, reader->context, count, requests);
  return taken == count ? 0 : taken < 0 ? errno : EAGAIN;
}

// Reads `count` blocks at `offsets`, as many in flight as the queue is deep; each that
// arrives makes room for the next one. 0, or an errno, after which only close is allowed.
int direct_read(struct reader* reader, const int64_t* offsets, int64_t count) {
  struct io_event events[kMaxDepth];
  struct iocb* requests[kMaxDepth];
  int64_t sent = 0;
  int ready = 0;
  for (; ready < reader->depth && sent < count; ++ready) {
    prepare(reader, ready, offsets[sent++]);
    requests[ready] = &reader->requests[ready];
  }
  int error = submit(reader, requests, ready);
  for (int64_t answered = 0; answered < count && !error;) {
    const long arrived = syscall(SYS_io_getevents, reader->context, 1, reader->depth, events, NULL);
    if (arrived < 0 && errno != EINTR) return errno;
    ready = 0;
    for (long i = 0; i < arrived; ++i, ++answered) {
      if (events[i].res != reader->block_bytes) return events[i].res < 0 ? -events[i].res : EIO;
      if (sent == count) continue;
      prepare(reader, events[i].data, offsets[sent++]);
      requests[ready++] = &reader->requests[events[i].data];
    }
    error = submit(reader, requests, ready);
  }
  return error;
}
