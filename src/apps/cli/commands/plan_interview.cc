// `holdfast plan interview`.
#include "plan.h"

namespace holdfast::cli {
Status run_interview(Context&, const PlanCommand&) { return ok_status(); }
}  // namespace holdfast::cli
