#include "engine_metrics.h"

#include <algorithm>
#include <array>

namespace holdfast::backend {
namespace {

struct Translation {
  std::string_view theirs, ours;
};

// llama.cpp, tools/server/README.md, "GET /metrics".
constexpr std::array kTranslations{
    Translation{"llamacpp:prompt_tokens_total", "vllm:prompt_tokens_total"},
    Translation{"llamacpp:tokens_predicted_total", "vllm:generation_tokens_total"},
    Translation{"llamacpp:requests_processing", "vllm:num_requests_running"},
    Translation{"llamacpp:requests_deferred", "vllm:num_requests_waiting"},
    Translation{"llamacpp:kv_cache_usage_ratio", "vllm:kv_cache_usage_perc"},
};

std::string our_name(std::string_view theirs) {
  const auto at = std::ranges::find(kTranslations, theirs, &Translation::theirs);
  return std::string(at == kTranslations.end() ? theirs : at->ours);
}

}  // namespace

std::vector<observe::ScrapedFamily> engine_metrics(
    std::vector<observe::ScrapedFamily> scraped, std::string_view name,
    const std::map<std::string, std::string, std::less<>>& models) {
  std::erase_if(scraped, [](const observe::ScrapedFamily& family) {
    return family.name.find(':') == std::string::npos || family.name.starts_with(':');
  });
  for (observe::ScrapedFamily& family : scraped) {
    family.name = our_name(family.name);
    for (observe::ScrapedSample& sample : family.samples) {
      std::string model = models.size() == 1 ? models.begin()->second : std::string();
      for (const auto& [label, value] : sample.labels) {
        if (label != "model_name" && label != "model") continue;
        if (const auto known = models.find(value); known != models.end()) model = known->second;
      }
      std::erase_if(sample.labels, [](const auto& label) {
        return label.first == "backend" || label.first == "model";
      });
      sample.labels.emplace_back("backend", name);
      sample.labels.emplace_back("model", std::move(model));
    }
  }
  return scraped;
}

}  // namespace holdfast::backend
