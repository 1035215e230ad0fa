// The special ids as an array, in the order of the object's header.
#pragma once

#include <array>

#include "holdfast/tokenizer/vocabulary.h"
#include "object.h"

namespace holdfast::tokenizer {

inline std::array<std::optional<TokenId>, kSpecialIdCount> special_list(const SpecialIds& s) {
  return {s.bos,  s.eos,     s.eot,     s.eom,     s.unk,     s.sep,     s.pad,
          s.mask, s.fim_pre, s.fim_suf, s.fim_mid, s.fim_pad, s.fim_rep, s.fim_sep};
}

inline SpecialIds special_ids_of(const std::array<std::int32_t, kSpecialIdCount>& ids) {
  const auto id = [&](std::size_t i) {
    return ids[i] < 0 ? std::optional<TokenId>() : std::optional<TokenId>(ids[i]);
  };
  return {.bos = id(0),
          .eos = id(1),
          .eot = id(2),
          .eom = id(3),
          .unk = id(4),
          .sep = id(5),
          .pad = id(6),
          .mask = id(7),
          .fim_pre = id(8),
          .fim_suf = id(9),
          .fim_mid = id(10),
          .fim_pad = id(11),
          .fim_rep = id(12),
          .fim_sep = id(13)};
}

}  // namespace holdfast::tokenizer
