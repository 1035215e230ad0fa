// Oracles: the graph's own first input, computed by hand from the weights; invariants (threads,
// chunks and company change nothing); round trip of the file form, which tests/acceptance holds to
// the file that llama-imatrix writes.
#include "holdfast/model/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "holdfast/gguf/writer.h"
#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"
#include "tiny_model.h"

namespace holdfast::model {
namespace {

using ::testing::HasSubstr;

// ---- what forward() adds up

struct SumOptions {
  std::uint32_t threads = 1;
  std::uint32_t chunk = 512;
  bool company = false;  // another sequence before and after it in every step
};

std::vector<double> sums_of(TinyModel& tiny, const std::vector<std::int32_t>& ids,
                            const SumOptions& o) {
  const Hyperparameters& hyper = tiny.inspection().hyper;
  LoadOptions load{.context_length = 256};
  load.threads = o.threads;
  auto model = Model::load(hyper, tiny, load).value();
  auto team = tensor::ThreadTeam::create(o.threads, 2).value();
  auto cache = kvcache::PagedKvCache::create(kv_layout(hyper, load.kv_type), 64).value();
  const auto sequence = cache->open().value();
  const auto before = cache->open().value();
  std::vector<double> sums(activation_columns(hyper));
  std::uint32_t others = 0;
  for (std::uint32_t at = 0; at < ids.size(); at += o.chunk) {
    std::vector<StepToken> tokens;
    if (o.company) {
      for (int i = 0; i < 3; ++i) {
        tokens.push_back({.sequence = before, .position = others++, .token = 1 + i});
      }
    }
    const std::size_t first = tokens.size();
    for (std::uint32_t i = at; i < std::min<std::size_t>(ids.size(), at + o.chunk); ++i) {
      tokens.push_back({.sequence = sequence, .position = i, .token = ids[i]});
    }
    Step step{.tokens = tokens, .squares = {}, .logits = {}, .hidden = {}};
    step.squares = {sums, first, tokens.size() - first};
    const auto kernels = kernels::available_kernels(platform::CpuFeatures::detect());
    EXPECT_TRUE(model->forward(*team, *kernels.back(), *cache, step).ok());
  }
  return sums;
}

std::vector<std::int32_t> some_ids(const Hyperparameters& h, std::size_t n) {
  std::vector<std::int32_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) {
    ids[i] = static_cast<std::int32_t>((i * 37 + 11) % h.n_vocab);
  }
  return ids;
}

class Squares : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    tiny_ = TinyModel::open(golden_dir() + "/" + GetParam() + ".gguf");
    ids_ = some_ids(tiny_->inspection().hyper, 70);
  }
  std::unique_ptr<TinyModel> tiny_;
  std::vector<std::int32_t> ids_;
};

TEST_P(Squares, ThreadsChunksAndCompanyDoNotMatter) {
  const auto want = sums_of(*tiny_, ids_, {});
  EXPECT_EQ(sums_of(*tiny_, ids_, {.threads = 3}), want);
  EXPECT_EQ(sums_of(*tiny_, ids_, {.chunk = 1}), want);
  EXPECT_EQ(sums_of(*tiny_, ids_, {.threads = 2, .chunk = 33}), want);
  EXPECT_EQ(sums_of(*tiny_, ids_, {.threads = 2, .chunk = 16, .company = true}), want);
  for (const double v : want) ASSERT_TRUE(std::isfinite(v) && v >= 0);
}

// The first matrices read the norm of the embedding.
TEST_P(Squares, FirstSlotIsTheNormedEmbedding) {
  const Hyperparameters& h = tiny_->inspection().hyper;
  const auto got = sums_of(*tiny_, ids_, {});
  const LoadedTensor embedding = tiny_->get("token_embd.weight").value();
  const LoadedTensor norm = tiny_->get("blk.0.attn_norm.weight").value();
  std::vector<double> want(h.n_embd, 0.0);
  std::vector<float> row(h.n_embd);
  for (const std::int32_t id : ids_) {
    quant::unpack_row(embedding.type, embedding.bytes.data(), embedding.rows, embedding.cols,
                      static_cast<std::uint64_t>(id), row.data());
    double squares = 0;
    for (float& v : row) v *= h.embedding_scale;
    for (const float v : row) squares += static_cast<double>(v) * static_cast<double>(v);
    const double inverse = 1.0 / std::sqrt(squares / h.n_embd + static_cast<double>(h.norm_eps));
    for (std::uint32_t c = 0; c < h.n_embd; ++c) {
      const double weight = load_le<float>(norm.bytes.data() + c * sizeof(float));
      const double x = static_cast<double>(row[c]) * inverse * weight;
      want[c] += x * x;
    }
  }
  // A norm is a few roundings of 2^-24 from exact; a square doubles them.
  for (std::uint32_t c = 0; c < h.n_embd; ++c) {
    ASSERT_NEAR(got[c], want[c], 1e-5 * want[c] + 1e-12) << "column " << c;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Squares,
                         ::testing::Values("llama-gqa-untied", "gemma3", "phi3-longrope",
                                           "quant-Q4_0"));

TEST(Squares, RefusesSumsThatDoNotFit) {
  auto tiny = TinyModel::open(golden_dir() + "/llama-gqa-untied.gguf");
  const Hyperparameters& hyper = tiny->inspection().hyper;
  auto model = Model::load(hyper, *tiny, {}).value();
  auto team = tensor::ThreadTeam::create(1, 2).value();
  auto cache = kvcache::PagedKvCache::create(kv_layout(hyper, kvcache::KvType::kF16), 8).value();
  const std::vector<StepToken> tokens = {
      {.sequence = cache->open().value(), .position = 0, .token = 1}};
  const auto refused = [&](std::size_t columns, std::size_t first, std::size_t count) {
    std::vector<double> sums(columns);
    Step step{.tokens = tokens, .squares = {sums, first, count}, .logits = {}, .hidden = {}};
    const auto kernels = kernels::available_kernels(platform::CpuFeatures::detect());
    return !model->forward(*team, *kernels.back(), *cache, step).ok();
  };
  EXPECT_TRUE(refused(activation_columns(hyper) - 1, 0, 1));
  EXPECT_TRUE(refused(activation_columns(hyper), 2, 0));
  EXPECT_TRUE(refused(activation_columns(hyper), 0, 2));
  EXPECT_TRUE(refused(activation_columns(hyper), 1, ~std::size_t{0}));
  EXPECT_FALSE(refused(activation_columns(hyper), 0, 1));
}

TEST(Slots, NameEveryMatrixOfTheLayers) {
  for (const char* name : {"llama-gqa-untied", "phi3-longrope", "gemma3"}) {
    auto tiny = TinyModel::open(golden_dir() + "/" + name + ".gguf");
    const Hyperparameters& hyper = tiny->inspection().hyper;
    std::size_t columns = 0;
    std::set<std::string> named;
    for (const ActivationSlot& slot : activation_slots(hyper)) {
      columns += slot.columns;
      for (const std::string& tensor : slot.tensors) {
        EXPECT_TRUE(named.insert(tensor).second) << tensor;
        EXPECT_EQ(tiny->get(tensor).value().cols, slot.columns) << tensor;
      }
    }
    EXPECT_EQ(columns, activation_columns(hyper));
    for (const TensorSpec& spec : tiny->inspection().tensors) {
      if (spec.role != TensorRole::kMatrix || !spec.name.starts_with("blk.")) continue;
      EXPECT_TRUE(named.contains(spec.name)) << spec.name;
    }
  }
}

// ---- the file

class ImportanceFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/holdfast-imatrix-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<platform::File> new_file() {
    return std::make_unique<platform::File>(
        platform::File::create_or_replace(dir_ + "/m.gguf", 0600).value());
  }
  static Importance sample() {
    Importance m;
    m.datasets = {"text one", "text two"};
    m.chunk_count = 7;
    m.chunk_tokens = 512;
    m.entries["blk.0.attn_q.weight"] = {3, 1, {1, 4, 9}, {2}};
    m.entries["blk.0.ffn_down_exps.weight"] = {2, 2, {1, 2, 3, 4}, {4, 0}};
    return m;
  }
  Bytes written(const Importance& m) {
    auto file = new_file();
    EXPECT_TRUE(write_importance(m, *file).ok());
    return platform::read_all(*file, 1u << 20).value();
  }
  static Result<Importance> read(const Bytes& bytes) {
    return read_importance(platform::MemorySource{ByteView(bytes)});
  }
  // A file made by hand.
  Bytes file_of(const char* type,
                const std::vector<std::pair<gguf::PlannedTensor, std::vector<float>>>& tensors) {
    auto file = new_file();
    const gguf::Value kind = gguf::make_string(type);
    std::vector<gguf::PlannedTensor> planned;
    for (const auto& [tensor, values] : tensors) planned.push_back(tensor);
    auto writer = gguf::Writer::begin(*file, {{"general.type", &kind}}, planned);
    for (const auto& [tensor, values] : tensors) {
      EXPECT_TRUE(writer->append(std::as_bytes(std::span(values))).ok());
    }
    EXPECT_TRUE(writer->finish().ok());
    return platform::read_all(*file, 1u << 20).value();
  }
  static gguf::PlannedTensor f32(const char* name, std::uint64_t columns, std::uint64_t rows = 1) {
    return {name, quant::TensorType::kF32, 2, {columns, rows, 1, 1}};
  }
  static void expect_error(const Result<Importance>& result, ErrorCode code,
                           std::string_view message) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code(), code) << result.error().to_string();
    EXPECT_THAT(result.error().client_message(), HasSubstr(std::string(message)));
  }

  std::string dir_;
};

TEST_F(ImportanceFile, RoundTrip) {
  const Importance m = sample();
  const auto back = read(written(m));
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->datasets, m.datasets);
  EXPECT_EQ(back->chunk_count, 7u);
  EXPECT_EQ(back->chunk_tokens, 512u);
  ASSERT_EQ(back->entries.size(), 2u);
  for (const auto& [name, entry] : m.entries) {
    const ImportanceEntry& got = back->entries.at(name);
    EXPECT_EQ(got.columns, entry.columns);
    EXPECT_EQ(got.matrices, entry.matrices);
    EXPECT_EQ(got.sums, entry.sums);
    EXPECT_EQ(got.counts, entry.counts);
  }
  EXPECT_THAT(back->entries.at("blk.0.attn_q.weight").means(0),
              ::testing::ElementsAre(.5f, 2, 4.5f));
  // An expert that no token reached says nothing.
  EXPECT_THAT(back->entries.at("blk.0.ffn_down_exps.weight").means(1), ::testing::Each(1.0f));
}

TEST_F(ImportanceFile, RefusesOtherFiles) {
  expect_error(read({}), ErrorCode::kUnsupported, "not in GGUF form");
  expect_error(read(Bytes(500, std::byte{1})), ErrorCode::kUnsupported, "not in GGUF form");
  expect_error(read(file_of("model", {})), ErrorCode::kInvalidArgument, "not an importance matrix");
  expect_error(read(file_of("imatrix", {})), ErrorCode::kCorrupt, "empty");
}

TEST_F(ImportanceFile, RefusesWhatDoesNotFit) {
  const auto sums = f32("a.in_sum2", 2);
  const auto counts = f32("a.counts", 1);
  EXPECT_TRUE(read(file_of("imatrix", {{sums, {1, 2}}, {counts, {1}}})).ok());
  expect_error(read(file_of("imatrix", {{sums, {1, 2}}})), ErrorCode::kCorrupt, "no counts");
  expect_error(read(file_of("imatrix", {{sums, {1, 2}}, {f32("a.counts", 1, 2), {1, 1}}})),
               ErrorCode::kCorrupt, "no counts");
  for (const float bad :
       {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    expect_error(read(file_of("imatrix", {{sums, {1, bad}}, {counts, {1}}})), ErrorCode::kCorrupt,
                 "negative or not finite");
    expect_error(read(file_of("imatrix", {{sums, {1, 1}}, {counts, {bad}}})), ErrorCode::kCorrupt,
                 "negative or not finite");
  }
  gguf::PlannedTensor ints = sums;
  ints.type = quant::TensorType::kI32;
  expect_error(read(file_of("imatrix", {{ints, {1, 1}}, {counts, {1}}})), ErrorCode::kCorrupt,
               "not F32");
}

TEST_F(ImportanceFile, RefusesEveryTruncation) {
  const Bytes whole = written(sample());
  for (std::size_t n = 0; n + 32 < whole.size(); ++n) {
    ASSERT_FALSE(read(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))).ok())
        << n;
  }
}

}  // namespace
}  // namespace holdfast::model
