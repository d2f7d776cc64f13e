// Copies between the host and the device through pinned memory, in order with the ops.
//
// Up: pieces are gathered into a slot of pinned memory, cross the bus in one copy, and one kernel puts them where they belong; large
// ones go straight to their places, a slot at a time. A slot is filled again once its copy is done, so the host's own memory
// is free as soon as upload() returns.
// Down: the other way round, into the pinned memory of a ticket, from which wait() hands them out.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "cuda/context.cuh"
#include "ops.h"

namespace redllm::cuda {

// Pieces that one launch moves; they travel with its parameters, whose limit is 4 KB.
constexpr int32_t kMovedPieces = 128;

struct MoveParams {
  struct {
    void* to;
    const void* from;
    uint64_t bytes;
  } piece[kMovedPieces];
};

class Copies {
 public:
  // Takes its memory; false, with the context's failure noted, where there is none.
  bool open(Context* context);
  ~Copies();

  void upload(const Piece* pieces, int32_t count);
  uint64_t download(const Piece* pieces, int32_t count);
  void wait(uint64_t ticket);

 private:
  // Pinned memory whose last copy is done when `copied` has happened.
  struct Slot {
    char* host = nullptr;
    cudaEvent_t copied = nullptr;
  };
  struct Ticket {
    uint64_t number = 0;  // 0: not out
    char* host = nullptr;
    uint64_t host_bytes = 0;
    cudaEvent_t copied = nullptr;
    std::vector<Piece> out;  // from `host` to where the caller wants it
  };

  Slot* free_slot();
  void send(Slot* slot, uint64_t bytes);
  void upload_large(const Piece& piece);
  bool to_device(void* to, const Slot* slot, uint64_t bytes);
  void to_host(void* to, const void* from, uint64_t bytes);
  void move();
  bool hold(Ticket& ticket, uint64_t bytes);

  static constexpr int32_t kSlots = 4;
  static constexpr uint64_t kSlotBytes = uint64_t{1} << 20;
  static constexpr uint64_t kLargePiece = uint64_t{1} << 18;

  Context* context_ = nullptr;
  Slot slots_[kSlots];
  int32_t next_slot_ = 0;
  char* up_ = nullptr;    // device: pieces on their way in, kSlotBytes
  char* down_ = nullptr;  // device: pieces on their way out, kSlotBytes
  Ticket tickets_[kTickets];
  uint64_t last_ticket_ = 0;
  MoveParams moved_;
  int32_t moved_count_ = 0;
};

}  // namespace redllm::cuda
