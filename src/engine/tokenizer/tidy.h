// The tidying of spaces that some vocabularies ask for when their tokens become text.
#pragma once

#include <string>

namespace holdfast::tokenizer {

// Removes the space before ? ! . and ,; an apostrophe's spaces on both sides; the space before 's
// 'm 're 've.
void tidy_spaces(std::string& text);

}  // namespace holdfast::tokenizer
