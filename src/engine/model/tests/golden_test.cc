// Oracle: rows of an independent float64 forward pass over de-quantised weights, and the error that
// llama.cpp makes against them (tests/golden/tiny). Bounds: relative L2 over all rows of a model at
// most 1.1 times llama.cpp's, with 2^-11 as floor for float weights (what rounding to an f16 cache
// explains); with an f32 cache and float weights 1e-5.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "holdfast/kernels/select.h"
#include "tiny_model.h"

namespace holdfast::model {
namespace {

struct Distance {
  double difference = 0;
  double norm = 0;
  double relative() const { return std::sqrt(difference / norm); }
};

void compare(const GoldenSequence& s, const std::vector<float>& logits, Distance& d) {
  ASSERT_EQ(logits.size(), s.ids.size() * s.row_floats);
  for (std::size_t i = 0; i < s.positions.size(); ++i) {
    const float* ours = logits.data() + std::size_t{s.positions[i]} * s.row_floats;
    const float* exact = s.exact.data() + i * s.row_floats;
    for (std::uint32_t j = 0; j < s.row_floats; ++j) {
      d.difference += std::pow(static_cast<double>(ours[j]) - exact[j], 2);
      d.norm += std::pow(static_cast<double>(exact[j]), 2);
    }
  }
}

double relative_error(const GoldenModel& golden, const kernels::KernelTable& kernels,
                      kvcache::KvType kv_type) {
  auto tiny = TinyModel::open(golden.sequences.front().gguf);
  Distance d;
  for (const GoldenSequence& s : golden.sequences) {
    compare(s, run_logits(*tiny, kernels, s.context, s.ids, {.kv_type = kv_type, .threads = 2}), d);
  }
  return d.relative();
}

class GoldenLogits : public testing::TestWithParam<std::string> {};

TEST_P(GoldenLogits, AreAsNearToExactAsLlamaCpp) {
  const GoldenModel golden = golden_models().at(GetParam());
  const double floor = golden.only_floats ? std::ldexp(1.0, -11) : 0.0;
  const double bound = 1.1 * std::max(golden.llamacpp_rel_l2, floor);
  const auto tables = kernels::available_kernels(platform::CpuFeatures::detect());
  for (const kernels::KernelTable* table : {tables.front(), tables.back()}) {
    SCOPED_TRACE(table->isa);
    const double error = relative_error(golden, *table, kvcache::KvType::kF16);
    RecordProperty(std::string("rel_l2_") + table->isa, std::to_string(error));
    RecordProperty("llamacpp_rel_l2", std::to_string(golden.llamacpp_rel_l2));
    EXPECT_LE(error, bound);
    if (golden.only_floats) {
      EXPECT_LE(relative_error(golden, *table, kvcache::KvType::kF32), 1e-5);
    }
  }
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& entry : golden_models()) out.push_back(entry.first);
  return out;
}

INSTANTIATE_TEST_SUITE_P(Tiny, GoldenLogits, testing::ValuesIn(names()), [](const auto& instance) {
  std::string name = instance.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST(GoldenLogits, CoverEveryFamily) {
  std::set<std::string> seen;
  for (const auto& entry : golden_models()) {
    seen.insert(entry.second.sequences.front().architecture);
  }
  for (const ModelFamily& family : families()) {
    EXPECT_TRUE(seen.contains(std::string(family.architecture))) << family.architecture;
  }
}

}  // namespace
}  // namespace holdfast::model
