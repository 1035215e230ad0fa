// The filters of the language: what may stand after a bar.
#pragma once

#include <span>
#include <string_view>

#include "runtime.h"

namespace holdfast::chat {

struct FilterEntry {
  std::string_view name;
  NativeFunction call;  // its `self` is what the filter is applied to
};

// nullptr if there is no such filter.
const FilterEntry* find_filter(std::string_view name);

// For find_filter, one table per file.
std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> value_filters();

}  // namespace holdfast::chat
