// NgramIndex: where the end of a token sequence occurred before, and what came next there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::runtime {

// Keeps no tokens: every call is given the sequence, of which the index has seen a prefix. Tables
// of hashes lead to positions; each lead is compared with the tokens before it is believed, so a
// collision costs a match and never makes a wrong one. O(1) per token, amortised over the growth of
// the tables; memory is bounded by kTableEntriesMax whatever the length.
//
// Owner: one per running request (thread-compatible).
class NgramIndex {
 public:
  // A lead is looked up by the last kShort and by the last kLong tokens. One token alone matches by
  // accident more often than not.
  static constexpr std::size_t kShort = 2;
  static constexpr std::size_t kLong = 4;
  // Longer matches are no better evidence than this many tokens.
  static constexpr std::size_t kMatchTokensMax = 32;
  // 4 bytes each, two tables: half a MiB for the longest sequences. Beyond, new leads displace old.
  static constexpr std::size_t kTableEntriesMax = std::size_t{1} << 16;

  // An earlier occurrence of the sequence's last `length` tokens, 2 to kMatchTokensMax. `next` is
  // the position of what followed it.
  struct Match {
    std::size_t next = 0;
    std::size_t length = 0;
  };

  // Takes in tokens [seen, tokens.size()), `tokens` being the sequence seen so far with more
  // behind.
  void extend(std::span<const std::int32_t> tokens);
  // The best match for the end of what extend() was last given.
  const std::optional<Match>& match() const { return match_; }
  std::size_t bytes() const {
    return (short_.leads.size() + long_.leads.size()) * sizeof(std::uint32_t);
  }

 private:
  struct Table {
    std::size_t n = 0;                 // tokens of a key
    std::vector<std::uint32_t> leads;  // [power of two]: position after the key; 0: none
  };

  void grow(std::span<const std::int32_t> tokens);
  // Enters the key that ends before `end`, and returns the lead that stood in its place.
  static std::uint32_t exchange(Table& table, std::span<const std::int32_t> tokens,
                                std::size_t end);
  void follow(std::span<const std::int32_t> tokens, std::size_t end);

  Table short_{kShort, {}};
  Table long_{kLong, {}};
  std::size_t seen_ = 0;
  std::optional<Match> match_;
};

// Up to `count` tokens that continue `tokens` as the match was continued. Where the match reaches
// into its own continuation, that goes round: after "abab" comes "abab".
std::vector<std::int32_t> continuation(std::span<const std::int32_t> tokens,
                                       const NgramIndex::Match& match, std::size_t count);

}  // namespace holdfast::runtime
