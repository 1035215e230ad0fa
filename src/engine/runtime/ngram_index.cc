#include "ngram_index.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "holdfast/base/check.h"

namespace holdfast::runtime {

namespace {

constexpr std::size_t kTableEntriesMin = 256;

// Fibonacci hashing of the last `n` tokens before `end`.
std::uint64_t key_hash(std::span<const std::int32_t> tokens, std::size_t end, std::size_t n) {
  std::uint64_t hash = 0;
  for (std::size_t i = end - n; i < end; ++i) {
    hash = (hash ^ static_cast<std::uint32_t>(tokens[i])) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

// Tokens that the ends of [0, a) and [0, b) have in common.
std::size_t common_suffix(std::span<const std::int32_t> tokens, std::size_t a, std::size_t b) {
  const std::size_t most = std::min({a, b, NgramIndex::kMatchTokensMax});
  std::size_t n = 0;
  while (n < most && tokens[a - 1 - n] == tokens[b - 1 - n]) ++n;
  return n;
}

}  // namespace

std::uint32_t NgramIndex::exchange(Table& table, std::span<const std::int32_t> tokens,
                                   std::size_t end) {
  if (end < table.n) return 0;
  const std::size_t at = key_hash(tokens, end, table.n) & (table.leads.size() - 1);
  return std::exchange(table.leads[at], static_cast<std::uint32_t>(end));
}

// Tables have at least twice as many entries as there are tokens, so that few leads are displaced.
void NgramIndex::grow(std::span<const std::int32_t> tokens) {
  const std::size_t have = short_.leads.size();
  if (tokens.size() * 2 <= have || have == kTableEntriesMax) return;
  const std::size_t entries =
      std::clamp(std::bit_ceil(tokens.size() * 4), kTableEntriesMin, kTableEntriesMax);
  for (Table* table : {&short_, &long_}) {
    table->leads.assign(entries, 0);
    for (std::size_t end = table->n; end <= seen_; ++end) exchange(*table, tokens, end);
  }
}

// Finds the match for the end at `end`, one token after the last call.
void NgramIndex::follow(std::span<const std::int32_t> tokens, std::size_t end) {
  std::optional<Match> best;
  const auto consider = [&](std::size_t next) {
    if (next == 0 || next >= end) return;
    const std::size_t length = common_suffix(tokens, next, end);
    if (length >= kShort && (!best || length > best->length)) best = Match{next, length};
  };
  // The occurrence that was right so far comes first: of two matches of one length it has been
  // followed from further back.
  if (match_ && tokens[match_->next] == tokens[end - 1]) consider(match_->next + 1);
  consider(exchange(long_, tokens, end));
  consider(exchange(short_, tokens, end));
  match_ = best;
}

void NgramIndex::extend(std::span<const std::int32_t> tokens) {
  HF_CHECK(tokens.size() >= seen_ && tokens.size() <= UINT32_MAX);
  grow(tokens);
  for (; seen_ < tokens.size(); ++seen_) follow(tokens, seen_ + 1);
}

std::vector<std::int32_t> continuation(std::span<const std::int32_t> tokens,
                                       const NgramIndex::Match& match, std::size_t count) {
  HF_CHECK(match.next > 0 && match.next < tokens.size());
  std::vector<std::int32_t> out;
  out.reserve(count);
  for (std::size_t i = match.next; out.size() < count; ++i) {
    out.push_back(i < tokens.size() ? tokens[i] : out[i - tokens.size()]);
  }
  return out;
}

}  // namespace holdfast::runtime
