#include "object.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "holdfast/base/checked.h"

namespace holdfast::tokenizer {

namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

Error damaged(std::string_view what) {
  return corrupt("the tokenizer object is damaged", std::string(what));
}

template <typename T>
std::span<const T> section(ByteView object, std::uint64_t offset, std::size_t count) {
  // Sections start at multiples of 8, as the object does.
  return {static_cast<const T*>(static_cast<const void*>(object.data() + offset)), count};
}

Status check_counts(const ObjectHeader& h) {
  if (h.magic != kObjectMagic) return damaged("magic");
  if (h.version != kObjectVersion) {
    return unsupported("the tokenizer object has version " + std::to_string(h.version) +
                       "; this program reads version " + std::to_string(kObjectVersion));
  }
  if (h.header_bytes != sizeof(ObjectHeader)) return damaged("header size");
  if (h.model < 1 || h.model > 3 || h.reserved != 0 || h.zero != 0) return damaged("model");
  if (h.tokens == 0 || h.tokens > kMaxTokens) return damaged("token count");
  if (h.symbols < h.tokens || h.symbols > kMaxSymbols) return damaged("symbol count");
  if (h.merges > kMaxMerges || h.specials > h.tokens || h.end_of_generation > h.tokens) {
    return damaged("count");
  }
  if (!std::has_single_bit(h.text_slots) || h.text_slots > 4 * kMaxTokens) return damaged("slots");
  if (h.merge_slots != 0 && (!std::has_single_bit(h.merge_slots) || h.merge_slots > 4 * kMaxMerges))
    return damaged("merge slots");
  return ok_status();
}

bool ascending_to(std::span<const std::uint32_t> ends, std::uint32_t total) {
  std::uint32_t before = 0;
  bool good = true;
  for (const std::uint32_t end : ends) {
    good &= end >= before;
    before = end;
  }
  return good && before == total;
}

template <typename Range, typename Good>
bool all_of(const Range& range, Good good) {
  bool all = true;
  for (const auto& item : range) all &= good(item);
  return all;
}

}  // namespace

ObjectLayout layout_of(const ObjectHeader& h) {
  ObjectLayout at{};
  std::uint64_t offset = sizeof(ObjectHeader);
  const auto place = [&](std::uint64_t count, std::uint64_t size) {
    const std::uint64_t here = offset;
    offset = round_up<std::uint64_t>(offset + count * size, 8);
    return here;
  };
  const bool bpe = h.model == static_cast<std::uint8_t>(Model::kBpe);
  const bool bytes = h.model != static_cast<std::uint8_t>(Model::kWordPiece);
  at.text_ends = place(h.symbols, sizeof(std::uint32_t));
  at.piece_ends = place(h.tokens, sizeof(std::uint32_t));
  at.types = place(h.tokens, sizeof(std::uint16_t));
  at.scores = place((h.flags & kFlagScores) != 0 ? h.tokens : 0, sizeof(float));
  at.specials = place(h.specials, sizeof(std::uint32_t));
  at.end_of_generation = place(h.end_of_generation, sizeof(TokenId));
  at.text_slots = place(h.text_slots, sizeof(TextSlot));
  at.merges = place(h.merges, sizeof(Merge));
  at.merge_slots = place(h.merge_slots, sizeof(std::uint32_t));
  at.byte_symbols = place(bytes ? 256 : 0, sizeof(std::uint32_t));
  at.byte_fallback = place(bpe ? 512 : 0, sizeof(std::uint32_t));
  at.texts = place(h.text_bytes, 1);
  at.pieces = place(h.piece_bytes, 1);
  at.end = offset;
  return at;
}

std::uint64_t hash_start() { return 0xCBF29CE484222325; }
std::uint64_t hash_byte(std::uint64_t hash, char byte) {
  return (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001B3;
}
std::uint64_t hash_finish(std::uint64_t hash) {
  hash ^= hash >> 32;
  hash *= kGolden;
  return hash ^ hash >> 29;
}
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = hash_start();
  for (const char c : text) hash = hash_byte(hash, c);
  return hash_finish(hash);
}
std::uint64_t hash_merge(std::uint32_t left, std::uint32_t right) {
  const std::uint64_t h = (std::uint64_t{left} << 32 | right) * kGolden;
  return h ^ h >> 32;
}

Result<ObjectView> ObjectView::open(ByteView object) {
  if (object.size() < sizeof(ObjectHeader)) return damaged("shorter than its header");
  ObjectView view;
  view.header_ = section<ObjectHeader>(object, 0, 1).data();
  const ObjectHeader& h = *view.header_;
  HF_TRY(check_counts(h));
  const ObjectLayout at = layout_of(h);
  if (at.end != h.object_bytes || at.end != object.size()) return damaged("size");
  const bool bpe = h.model == static_cast<std::uint8_t>(Model::kBpe);
  const bool bytes = h.model != static_cast<std::uint8_t>(Model::kWordPiece);
  view.text_ends_ = section<std::uint32_t>(object, at.text_ends, h.symbols);
  view.piece_ends_ = section<std::uint32_t>(object, at.piece_ends, h.tokens);
  view.types_ = section<std::uint16_t>(object, at.types, h.tokens);
  view.scores_ = section<float>(object, at.scores, view.flag(kFlagScores) ? h.tokens : 0);
  view.specials_ = section<std::uint32_t>(object, at.specials, h.specials);
  view.end_of_generation_ = section<TokenId>(object, at.end_of_generation, h.end_of_generation);
  view.text_slots_ = section<TextSlot>(object, at.text_slots, h.text_slots);
  view.merges_ = section<Merge>(object, at.merges, h.merges);
  view.merge_slots_ = section<std::uint32_t>(object, at.merge_slots, h.merge_slots);
  view.byte_symbols_ = section<std::uint32_t>(object, at.byte_symbols, bytes ? 256 : 0);
  view.byte_fallback_ = section<std::uint32_t>(object, at.byte_fallback, bpe ? 512 : 0);
  view.texts_ = as_string_view(object.subspan(at.texts, h.text_bytes));
  view.pieces_ = as_string_view(object.subspan(at.pieces, h.piece_bytes));
  HF_TRY(view.check());
  return view;
}

// After this, no index that any lookup returns is outside its section. What a wrong slot could
// still do is hide a token, which the tag of the pack's chunk rules out.
Status ObjectView::check() const {
  const ObjectHeader& h = *header_;
  const bool bpe = h.model == static_cast<std::uint8_t>(Model::kBpe);
  if (!ascending_to(text_ends_, h.text_bytes)) return damaged("text offsets");
  if (!ascending_to(piece_ends_, h.piece_bytes)) return damaged("piece offsets");
  if (h.model == static_cast<std::uint8_t>(Model::kSpm) && !flag(kFlagScores)) {
    return damaged("no scores");
  }
  if (!all_of(scores_, [](float s) { return std::isfinite(s); })) return damaged("score");
  const auto is_token = [&](auto id) { return static_cast<std::uint32_t>(id) < h.tokens; };
  if (!all_of(specials_, is_token)) return damaged("special token");
  // The matcher of special tokens indexes their text, so it must have some.
  if (!all_of(specials_, [&](std::uint32_t id) { return !piece(id).empty(); })) {
    return damaged("special token without text");
  }
  if (!all_of(end_of_generation_, is_token)) return damaged("end-of-generation token");
  if (!std::is_sorted(end_of_generation_.begin(), end_of_generation_.end())) {
    return damaged("order of end-of-generation tokens");
  }
  if (!all_of(h.special_ids, [&](std::int32_t id) { return id == -1 || is_token(id); })) {
    return damaged("special id");
  }
  if (!all_of(text_slots_, [&](const TextSlot& s) { return s.id_plus_one <= h.tokens; })) {
    return damaged("text slot");
  }
  if (!all_of(merges_, [&](const Merge& m) {
        return (m.left < h.symbols) & (m.right < h.symbols) & (m.result < h.symbols);
      })) {
    return damaged("merge");
  }
  if (!all_of(merge_slots_, [&](std::uint32_t s) { return s <= h.merges; })) {
    return damaged("merge slot");
  }
  const std::uint32_t byte_limit = bpe ? h.symbols : h.tokens;
  if (!all_of(byte_symbols_,
              [&](std::uint32_t s) { return s < byte_limit || (!bpe && s == kNone); })) {
    return damaged("byte symbol");
  }
  if (!all_of(byte_fallback_, [&](std::uint32_t t) { return is_token(t) || t == kNone; })) {
    return damaged("byte fallback");
  }
  return ok_status();
}

std::string_view ObjectView::pre() const {
  const std::string_view padded(header_->pre.data(), header_->pre.size());
  return padded.substr(0, padded.find('\0'));
}

std::uint32_t ObjectView::find(std::string_view wanted, std::uint64_t hash) const {
  const std::size_t mask = text_slots_.size() - 1;
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  // Bounded, so that a table without an empty slot ends too.
  for (std::size_t step = 0; step <= mask; ++step) {
    const TextSlot& slot = text_slots_[(hash + step) & mask];
    if (slot.id_plus_one == 0) return kNone;
    if (slot.tag == tag && text(slot.id_plus_one - 1) == wanted) return slot.id_plus_one - 1;
  }
  return kNone;
}

std::uint32_t ObjectView::find_merge(std::uint32_t left, std::uint32_t right) const {
  if (merge_slots_.empty()) return kNone;
  const std::size_t mask = merge_slots_.size() - 1;
  const std::uint64_t hash = hash_merge(left, right);
  for (std::size_t step = 0; step <= mask; ++step) {
    const std::uint32_t slot = merge_slots_[(hash + step) & mask];
    if (slot == 0) return kNone;
    const Merge& m = merges_[slot - 1];
    if (m.left == left && m.right == right) return slot - 1;
  }
  return kNone;
}

}  // namespace holdfast::tokenizer
