// A plan for people: a summary for the terminal and one page for print and screen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {

enum class Language { kEnglish, kPortuguese };

// "en", "pt" and their regional forms ("pt-BR", "en_US.UTF-8"). kInvalidArgument for others.
Result<Language> parse_language(std::string_view name);

// Lines of at most `width` columns, as far as names allow; width is taken as 60 to 200. Names from
// the inputs cannot move the cursor: control characters are replaced.
std::string report_text(const Plan& plan, Language language, std::size_t width);

// One HTML5 document without scripts or outside resources, for screens in light and dark and for
// paper. Everything that comes from the inputs is escaped.
std::string report_html(const Plan& plan, Language language);

}  // namespace holdfast::planner
