// The parts of a problem that more than one section is made of, and the workload.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "fields.h"
#include "holdfast/planner/problem.h"

namespace holdfast::planner {

// Of requests and of data, in the order of their enumerations.
inline constexpr std::array<std::string_view, 3> kServiceKinds{"realtime", "interactive", "batch"};
inline constexpr std::array<std::string_view, 5> kLabels{"none", "internal", "confidential",
                                                         "regulated", "secret"};

// Position of a word that Fields::word() has accepted.
template <typename Names>
std::size_t index_in(const Names& names, std::string_view word) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), word) - names.begin());
}

Label parse_label(Fields& f, const char* key, Label otherwise, const char* effect);

// Limits of a table over those of `out`. `top`: of the whole problem, whose defaults are on record.
Status parse_slo(const json::Value* table, const std::string& path, Slo& out, bool top,
                 std::vector<DefaultUsed>& defaults);

// [workload], and the trace where there is one. Needs the models and the limits of `problem`.
Status parse_workload(const json::Value* table, const ProblemInputs& inputs, Problem& problem);

}  // namespace holdfast::planner
