#include "cuda/copies.cuh"

#include <cstring>

#include "cuda/backend.cuh"
#include "cuda/ptx.cuh"

namespace redllm::cuda {
namespace {

constexpr int kThreads = 256;
constexpr uint64_t kBlockBytes = uint64_t{16} << 10;  // of a piece, that one block moves

uint64_t aligned(uint64_t bytes) {
  return (bytes + 15) & ~uint64_t{15};
}

// Block (x, y) moves bytes [x, x + 1) * kBlockBytes of piece y. Both sides are aligned to 4 bytes, and so is the count.
__global__ void __launch_bounds__(kThreads) move_pieces(const MoveParams p) {
  await_earlier_launches();
  const uint64_t first = static_cast<uint64_t>(blockIdx.x) * kBlockBytes;
  const uint64_t bytes = p.piece[blockIdx.y].bytes;
  const uint64_t end = first + kBlockBytes < bytes ? first + kBlockBytes : bytes;
  char* to = static_cast<char*>(p.piece[blockIdx.y].to);
  const char* from = static_cast<const char*>(p.piece[blockIdx.y].from);
  for (uint64_t at = first + 4 * threadIdx.x; at < end; at += 4 * kThreads)
    *reinterpret_cast<uint32_t*>(to + at) = *reinterpret_cast<const uint32_t*>(from + at);
}

}  // namespace

bool Copies::open(Context* context) {
  context_ = context;
  const char* what = "allocating memory for copies";
  for (Slot& slot : slots_) {
    if (!succeeded(context, cudaMallocHost(reinterpret_cast<void**>(&slot.host), kSlotBytes), what)) return false;
    if (!succeeded(context, cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), what)) return false;
  }
  for (Ticket& ticket : tickets_)
    if (!succeeded(context, cudaEventCreateWithFlags(&ticket.copied, cudaEventDisableTiming), what)) return false;
  return succeeded(context, cudaMalloc(reinterpret_cast<void**>(&up_), kSlotBytes), what) &&
         succeeded(context, cudaMalloc(reinterpret_cast<void**>(&down_), kSlotBytes), what);
}

Copies::~Copies() {
  for (Slot& slot : slots_) {
    if (slot.host != nullptr) cudaFreeHost(slot.host);
    if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
  }
  for (Ticket& ticket : tickets_) {
    if (ticket.host != nullptr) cudaFreeHost(ticket.host);
    if (ticket.copied != nullptr) cudaEventDestroy(ticket.copied);
  }
  if (up_ != nullptr) cudaFree(up_);
  if (down_ != nullptr) cudaFree(down_);
}

// ---- up -----------------------------------------------------------------------------------------------------------------

void Copies::upload(const Piece* pieces, int32_t count) {
  Slot* slot = nullptr;
  uint64_t filled = 0;
  auto flush = [&] {
    if (slot != nullptr) send(slot, filled);
    slot = nullptr;
    filled = 0;
  };
  for (int32_t i = 0; i < count; ++i) {
    const Piece& piece = pieces[i];
    if (piece.bytes == 0) continue;
    if (piece.bytes >= kLargePiece) {
      flush();
      upload_large(piece);
      continue;
    }
    if (filled + piece.bytes > kSlotBytes || moved_count_ == kMovedPieces) flush();
    if (slot == nullptr) slot = free_slot();
    if (slot == nullptr) return;
    std::memcpy(slot->host + filled, piece.from, piece.bytes);
    moved_.piece[moved_count_++] = {piece.to, up_ + filled, piece.bytes};
    filled += aligned(piece.bytes);
  }
  flush();
}

void Copies::upload_large(const Piece& piece) {
  for (uint64_t at = 0; at < piece.bytes; at += kSlotBytes) {
    const uint64_t bytes = piece.bytes - at < kSlotBytes ? piece.bytes - at : kSlotBytes;
    Slot* slot = free_slot();
    if (slot == nullptr) return;
    std::memcpy(slot->host, static_cast<const char*>(piece.from) + at, bytes);
    if (!to_device(static_cast<char*>(piece.to) + at, slot, bytes)) return;
    if (!succeeded(context_, cudaEventRecord(slot->copied, context_->stream), "copying to the device")) return;
  }
}

// Null where the device has failed. An event that was never recorded has happened.
Copies::Slot* Copies::free_slot() {
  Slot* slot = &slots_[next_slot_];
  next_slot_ = (next_slot_ + 1) % kSlots;
  return succeeded(context_, cudaEventSynchronize(slot->copied), "waiting for a copy to the device") ? slot : nullptr;
}

bool Copies::to_device(void* to, const Slot* slot, uint64_t bytes) {
  const cudaError_t code = cudaMemcpyAsync(to, slot->host, bytes, cudaMemcpyHostToDevice, context_->stream);
  return succeeded(context_, code, "copying to the device");
}

// Sends the slot's pieces; one alone needs no second copy.
void Copies::send(Slot* slot, uint64_t bytes) {
  const bool alone = moved_count_ == 1;
  void* to = alone ? moved_.piece[0].to : up_;
  if (alone) bytes = moved_.piece[0].bytes;
  if (to_device(to, slot, bytes) && !alone) move();
  moved_count_ = 0;
  succeeded(context_, cudaEventRecord(slot->copied, context_->stream), "copying to the device");
}

void Copies::move() {
  uint64_t longest = 0;
  for (int32_t i = 0; i < moved_count_; ++i)
    if (moved_.piece[i].bytes > longest) longest = moved_.piece[i].bytes;
  const dim3 grid(divided_up(static_cast<int64_t>(longest), kBlockBytes), static_cast<unsigned>(moved_count_));
  launch(context_, "moving pieces", move_pieces, grid, kThreads, 0, moved_);
}

// ---- down ---------------------------------------------------------------------------------------------------------------

// Sees to it that the ticket has so much pinned memory. Nothing of it is under way: its last copy was waited for.
bool Copies::hold(Ticket& ticket, uint64_t bytes) {
  if (ticket.host_bytes >= bytes) return true;
  if (ticket.host != nullptr) cudaFreeHost(ticket.host);
  ticket.host = nullptr;
  ticket.host_bytes = 0;
  const uint64_t wanted = bytes < kSlotBytes ? kSlotBytes : bytes;
  if (!succeeded(context_, cudaMallocHost(reinterpret_cast<void**>(&ticket.host), wanted), "allocating pinned memory"))
    return false;
  ticket.host_bytes = wanted;
  return true;
}

void Copies::to_host(void* to, const void* from, uint64_t bytes) {
  const cudaError_t code = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, context_->stream);
  succeeded(context_, code, "copying to the host");
}

uint64_t Copies::download(const Piece* pieces, int32_t count) {
  Ticket& ticket = tickets_[++last_ticket_ % kTickets];
  ticket.number = last_ticket_;
  ticket.out.clear();
  uint64_t all = 0;
  for (int32_t i = 0; i < count; ++i) all += aligned(pieces[i].bytes);
  if (all == 0 || !hold(ticket, all)) return last_ticket_;

  uint64_t held = 0, gathered = 0;  // bytes of the pinned memory; the last of them that have only been gathered
  auto flush = [&] {
    if (gathered == 0) return;
    move();
    moved_count_ = 0;
    to_host(ticket.host + held - gathered, down_, gathered);
    gathered = 0;
  };
  for (int32_t i = 0; i < count; ++i) {
    const Piece& piece = pieces[i];
    if (piece.bytes == 0) continue;
    const bool large = piece.bytes >= kLargePiece || count == 1;
    if (large || gathered + piece.bytes > kSlotBytes || moved_count_ == kMovedPieces) flush();
    ticket.out.push_back({piece.to, ticket.host + held, piece.bytes});
    if (large) {
      to_host(ticket.host + held, piece.from, piece.bytes);
    } else {
      moved_.piece[moved_count_++] = {down_ + gathered, piece.from, piece.bytes};
      gathered += aligned(piece.bytes);
    }
    held += aligned(piece.bytes);
  }
  flush();
  succeeded(context_, cudaEventRecord(ticket.copied, context_->stream), "copying to the host");
  return last_ticket_;
}

void Copies::wait(uint64_t number) {
  Ticket& ticket = tickets_[number % kTickets];
  if (ticket.number != number) {
    succeeded(context_, cudaErrorInvalidValue, "waiting for results that later ones have overwritten");
    return;
  }
  ticket.number = 0;
  if (ticket.out.empty()) return;
  if (!succeeded(context_, cudaEventSynchronize(ticket.copied), "waiting for a step")) return;
  for (const Piece& piece : ticket.out) std::memcpy(piece.to, piece.from, piece.bytes);
}

// ---- as the table has them ----------------------------------------------------------------------------------------------

void upload(Context* context, const Piece* pieces, int32_t count) {
  if (make_current(context)) context->copies->upload(pieces, count);
}

uint64_t download(Context* context, const Piece* pieces, int32_t count) {
  return make_current(context) ? context->copies->download(pieces, count) : 0;
}

void wait(Context* context, uint64_t ticket) {
  if (ticket != 0 && make_current(context)) context->copies->wait(ticket);
}

}  // namespace redllm::cuda
