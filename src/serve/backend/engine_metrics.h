// Metrics of a supervised engine under the names and labels under which the server shows them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/observe/exposition.h"

namespace holdfast::backend {

// Of what an engine shows, its own metrics: those with a prefix and a colon ("vllm:...", not
// process_* or python_*). llama-server's are given the names that dashboards know. Each sample gets
// the label `backend`, which is `name`, and the label `model`: our name of the model that it speaks
// of, or of the only one in `models` (theirs to ours).
std::vector<observe::ScrapedFamily> engine_metrics(
    std::vector<observe::ScrapedFamily> scraped, std::string_view name,
    const std::map<std::string, std::string, std::less<>>& models);

}  // namespace holdfast::backend
