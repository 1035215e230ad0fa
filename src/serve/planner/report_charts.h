// Inline SVG for the page: each chart has a title and a description, and says nothing by colour
// alone.
#pragma once

#include <string>
#include <string_view>

#include "report_view.h"

namespace holdfast::planner {

// For text and attributes of HTML: & < > " '. Control characters are replaced (harmless()).
std::string escaped(std::string_view text);

// Each is empty where the plan has nothing to show. `id` is unique in the page.
std::string cost_chart(const Speech& speech, const Plan& plan, const ClassView& view,
                       const std::string& id);
std::string tornado_chart(const Speech& speech, const Plan& plan, const ClassView& view,
                          const std::string& id);
std::string load_chart(const Speech& speech, const Plan& plan, const std::string& id);
std::string memory_chart(const Speech& speech, const PlanOption& option, const std::string& id);
std::string pareto_chart(const Speech& speech, const Plan& plan, const ClassView& view,
                         const std::string& id);

}  // namespace holdfast::planner
