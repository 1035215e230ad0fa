#include <array>

#include "family_parts.h"
#include "holdfast/model/family.h"

namespace holdfast::model {

namespace {

constexpr std::array kFamilies = {
    ModelFamily{"llama", read_llama},   ModelFamily{"qwen2", read_qwen2},
    ModelFamily{"qwen3", read_qwen3},   ModelFamily{"gemma2", read_gemma2},
    ModelFamily{"gemma3", read_gemma3}, ModelFamily{"phi3", read_phi3},
    ModelFamily{"olmo2", read_olmo2},   ModelFamily{"granite", read_granite},
};

}  // namespace

std::span<const ModelFamily> families() { return kFamilies; }

const ModelFamily* find_family(std::string_view architecture) {
  for (const ModelFamily& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

std::string supported_architectures() {
  std::string names;
  for (const ModelFamily& family : kFamilies) {
    names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return names;
}

}  // namespace holdfast::model
