// The planner's report card as a page: its error on devices it was not fitted on.
#pragma once

#include <string>
#include <vector>

#include "holdfast/planner/validate.h"

namespace holdfast::planner {

// docs/reference/planner-accuracy.md: errors by class of leave_one_device_out over the shipped
// rows, and the fitted constants. The same rows give the same page.
std::string accuracy_markdown(const std::vector<ErrorSummary>& summaries);

}  // namespace holdfast::planner
