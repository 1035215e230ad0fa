#include "pre_tokenizer.h"

#include <algorithm>
#include <iterator>

#include "rules.h"

namespace holdfast::tokenizer {

namespace {

constexpr PreTokenizer kPreTokenizers[] = {
#define HF_PRE(name, rule, flags) {name, rule, flags},
#include "pre_tokenizers.def"
#undef HF_PRE
};

}  // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  const auto* found = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                   [&](const PreTokenizer& p) { return p.name == name; });
  return found == std::end(kPreTokenizers) ? nullptr : found;
}

std::vector<std::uint32_t> split_words(const CodePoints& text, SplitRule rule) {
  std::vector<std::uint32_t> ends;
  if (text.chars.empty()) return ends;
  ends.push_back(static_cast<std::uint32_t>(text.chars.size()));
  std::vector<std::uint32_t> finer;
  for (const SplitPass pass : rule) {
    finer.clear();
    finer.reserve(ends.size());
    std::size_t begin = 0;
    for (const std::uint32_t end : ends) {
      pass(Stretch{&text, begin, end}, finer);
      begin = end;
    }
    ends.swap(finer);
  }
  return ends;
}

}  // namespace holdfast::tokenizer
