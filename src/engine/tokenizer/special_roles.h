// Roles of special tokens that files leave unsaid and that follow from the tokens' spelling.
#pragma once

#include <string_view>

#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::tokenizer {

// What the rules look at besides the vocabulary itself.
struct ModelNames {
  std::string_view name;          // general.name
  std::string_view architecture;  // general.architecture
};

// Fills the missing ids of `vocabulary.special` and its end_of_generation list by spelling, and
// corrects the types of tokens whose spelling says more than the file. Then sets which tokens strip
// white space around them.
void assign_roles(Vocabulary& vocabulary, const ModelNames& names);

}  // namespace holdfast::tokenizer
