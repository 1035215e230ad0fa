// Oracles: the parser and the decoder; the rules as they are written down for llama-quantize;
// invariants (threads and splitting change nothing).
#include "requantize.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "golden_files.h"
#include "holdfast/gguf/writer.h"
#include "holdfast/platform/testing/simulated_filesystem.h"
#include "holdfast/quant/codec.h"
#include "quantize_protocol.h"

namespace holdfast::importer {
namespace {

using quant::TensorType;
using testing::golden;
using testing::golden_names;
using ::testing::HasSubstr;
using testing::parsed;

struct Options {
  unsigned threads = 1;
  const model::Importance* importance = nullptr;
  std::uint64_t capacity = UINT64_MAX;
};

struct Made {
  Bytes bytes;
  QuantizeResult result;
};

Result<Made> make(const std::vector<Bytes>& files, std::string_view type, const Options& o = {}) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<const platform::ByteSource*> parts;
  for (const Bytes& f : files) {
    sources.push_back(std::make_unique<platform::MemorySource>(ByteView(f)));
    parts.push_back(sources.back().get());
  }
  platform::testing::SimulatedFileSystem fs;
  fs.set_capacity_bytes(o.capacity);
  HF_TRY_ASSIGN(const auto out, fs.create_exclusive("/out", 0600));
  RequantizeInput input{parts, find_file_type(type), o.importance, "m.gguf", o.threads};
  std::uint64_t last = 0;
  HF_TRY_ASSIGN(QuantizeResult result,
                requantize(input, *out, [&](std::uint64_t done, std::uint64_t total) {
                  EXPECT_LE(last, done);
                  EXPECT_LE(done, total);
                  last = done;
                  return ok_status();
                }));
  EXPECT_EQ(result.bytes_out, out->size());
  HF_TRY_ASSIGN(Bytes bytes, platform::read_all(*out, 1u << 30));
  return Made{std::move(bytes), std::move(result)};
}

std::vector<float> values(const Bytes& file, const gguf::TensorInfo& tensor) {
  std::vector<float> out(tensor.elements());
  quant::dequantize(tensor.type, file.data() + tensor.offset, out.size(), out.data());
  return out;
}

double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0;
  double squares = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    error += e * e;
    squares += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(error / squares);
}

TEST(Requantize, EveryGoldenModelInEveryType) {
  for (const std::string& name : golden_names()) {
    const Bytes source = golden(name);
    const gguf::GgufFile before = parsed(source);
    for (const FileTypeInfo& type : all_file_types()) {
      const auto made = make({source}, type.name);
      ASSERT_TRUE(made.ok()) << name << " " << type.name << ": " << made.error().to_string();
      const gguf::GgufFile after = parsed(made->bytes);
      EXPECT_EQ(*after.metadata.get_u32("general.file_type"), type.number);
      EXPECT_EQ(*after.metadata.get_u32("general.quantization_version"), 2u);
      ASSERT_EQ(after.tensors.size(), before.tensors.size());
      for (std::size_t i = 0; i < after.tensors.size(); ++i) {
        const gguf::TensorInfo& a = before.tensors[i];
        const gguf::TensorInfo& b = after.tensors[i];
        EXPECT_EQ(b.name, a.name);
        EXPECT_EQ(b.dims, a.dims);
        if (b.type == a.type) {
          EXPECT_TRUE(std::equal(source.begin() + static_cast<std::ptrdiff_t>(a.offset),
                                 source.begin() + static_cast<std::ptrdiff_t>(a.offset + a.bytes),
                                 made->bytes.begin() + static_cast<std::ptrdiff_t>(b.offset)));
        } else {
          EXPECT_GE(b.n_dims, 2) << b.name;
          EXPECT_LT(relative_error(values(made->bytes, b), values(source, a)), 0.3)
              << name << " " << type.name << " " << b.name;
        }
      }
    }
  }
}

TEST(Requantize, CarriesTheMetadataOver) {
  const Bytes source = golden("llama-tied-ropefreqs");
  const gguf::GgufFile before = parsed(source);
  const auto made = make({source}, "Q8_0");
  ASSERT_TRUE(made.ok());
  const gguf::GgufFile after = parsed(made->bytes);
  for (std::size_t i = 0; i < before.metadata.size(); ++i) {
    const std::string_view key = before.metadata.key(i);
    const gguf::Value* value = after.metadata.find(key);
    ASSERT_NE(value, nullptr) << key;
    EXPECT_EQ(value->type, before.metadata.find(key)->type) << key;
  }
  EXPECT_EQ(*after.metadata.get_string("general.architecture"), "llama");
  const auto* a = before.metadata.get_strings("tokenizer.ggml.tokens").value();
  const auto* b = after.metadata.get_strings("tokenizer.ggml.tokens").value();
  EXPECT_TRUE(std::equal(a->begin(), a->end(), b->begin(), b->end()));
}

TEST(Requantize, ThreadsAndPartsDoNotMatter) {
  const Bytes source = golden("llama-gqa-untied");
  const auto one = make({source}, "Q4_K_M");
  ASSERT_TRUE(one.ok());
  for (const unsigned threads : {2u, 3u, 7u}) {
    EXPECT_EQ(make({source}, "Q4_K_M", {.threads = threads})->bytes, one->bytes) << threads;
  }
  const auto split = make(testing::split_in_two(source), "Q4_K_M");
  ASSERT_TRUE(split.ok()) << split.error().to_string();
  const gguf::GgufFile file = parsed(split->bytes);
  EXPECT_EQ(file.metadata.find("split.count"), nullptr);
  for (const gguf::TensorInfo& t : file.tensors) {
    EXPECT_EQ(values(split->bytes, t), values(one->bytes, *parsed(one->bytes).find_tensor(t.name)));
  }
}

TEST(Requantize, TellsWhatWasQuantisedBefore) {
  const auto made = make({golden("quant-Q4_0")}, "Q8_0");
  ASSERT_TRUE(made.ok());
  EXPECT_GT(made->result.requantized, 0u);
  EXPECT_EQ(make({golden("llama-gqa-untied")}, "Q8_0")->result.requantized, 0u);
}

// Names the first tensor of that type of element, and gives it another first value.
Bytes with_first_value(Bytes file, const std::string& tensor, float value) {
  const gguf::GgufFile parsed_file = parsed(file);
  const gguf::TensorInfo& info = *parsed_file.find_tensor(tensor);
  if (info.type == TensorType::kF32) {
    std::memcpy(file.data() + info.offset, &value, sizeof value);
  } else {
    EXPECT_EQ(info.type, TensorType::kF16);
    const std::uint16_t half = std::isnan(value) ? 0x7e00 : 0x7c00;
    std::memcpy(file.data() + info.offset, &half, sizeof half);
  }
  return file;
}

TEST(Requantize, NamesTheTensorThatIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Bytes file = with_first_value(golden("llama-gqa-untied"), "blk.0.ffn_up.weight", bad);
    for (const unsigned threads : {1u, 4u}) {
      const auto made = make({file}, "Q4_0", {.threads = threads});
      ASSERT_FALSE(made.ok());
      EXPECT_EQ(made.error().code(), ErrorCode::kCorrupt);
      EXPECT_THAT(made.error().client_message(), HasSubstr("tensor blk.0.ffn_up.weight"));
    }
  }
}

TEST(Requantize, TakesImportanceOfThisModelOnly) {
  const Bytes source = golden("llama-gqa-untied");
  const gguf::GgufFile file = parsed(source);
  const gguf::TensorInfo& up = *file.find_tensor("blk.0.ffn_up.weight");
  model::Importance importance;
  importance.chunk_count = 3;
  importance.datasets = {"text"};
  model::ImportanceEntry entry{up.columns(), 1, std::vector<float>(up.columns()), {10}};
  for (std::size_t i = 0; i < entry.sums.size(); ++i) {
    entry.sums[i] = i % 3 == 0 ? 1000.0f : 1.0f;
  }
  importance.entries["blk.0.ffn_up.weight"] = entry;
  const auto with = make({source}, "IQ4_NL", {.importance = &importance});
  const auto without = make({source}, "IQ4_NL");
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ(with->result.weighted, 1u);
  EXPECT_EQ(without->result.weighted, 0u);
  const gguf::GgufFile made = parsed(with->bytes);
  EXPECT_EQ(*made.metadata.get_u32("quantize.imatrix.chunks_count"), 3u);
  EXPECT_EQ(*made.metadata.get_string("quantize.imatrix.file"), "m.gguf");
  EXPECT_NE(values(with->bytes, *made.find_tensor(up.name)),
            values(without->bytes, *parsed(without->bytes).find_tensor(up.name)));
  // Another width, or experts that this model has not.
  for (const auto& [columns, matrices] :
       {std::pair(up.columns() - 1, 1), std::pair(up.columns(), 3)}) {
    model::ImportanceEntry other;
    other.columns = columns;
    other.matrices = static_cast<std::uint64_t>(matrices);
    other.sums.resize(columns * other.matrices);
    other.counts.resize(other.matrices);
    importance.entries["blk.0.ffn_up.weight"] = other;
    const auto made_of_other = make({source}, "IQ4_NL", {.importance = &importance});
    ASSERT_FALSE(made_of_other.ok());
    EXPECT_EQ(made_of_other.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(made_of_other.error().client_message(), HasSubstr("another model"));
  }
}

TEST(Requantize, ReportsAFullDisk) {
  const auto made = make({golden("llama-gqa-untied")}, "Q8_0", {.capacity = 20000});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code(), ErrorCode::kExhausted);
}

// ---- the rules

gguf::TensorInfo tensor(const std::string& name, std::uint64_t cols, std::uint64_t rows = 64) {
  gguf::TensorInfo t;
  t.name = name;
  t.type = TensorType::kF16;
  t.n_dims = 2;
  t.dims = {cols, rows, 1, 1};
  return t;
}

TensorType choice(std::string_view type, const std::string& name, std::uint64_t cols = 2048,
                  const ModelShape& shape = {
                      .n_layers = 32, .heads_per_kv_head = 4, .has_output = true}) {
  return choose_type(*find_file_type(type), shape, tensor(name, cols)).type;
}

TEST(Rules, MoreBitsWhereTheyCount) {
  EXPECT_EQ(choice("Q4_K_M", "output.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_M", "token_embd.weight"), TensorType::kQ4_K);
  EXPECT_EQ(choice("Q8_0", "output.weight"), TensorType::kQ8_0);
  EXPECT_EQ(choice("F16", "output.weight"), TensorType::kF16);
  EXPECT_EQ(choice("Q4_0", "output.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_M", "blk.0.attn_v.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_M", "blk.5.attn_v.weight"), TensorType::kQ4_K);
  EXPECT_EQ(choice("Q4_K_M", "blk.6.attn_v.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_M", "blk.28.ffn_down.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q5_K_M", "blk.0.ffn_down.weight"), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_S", "blk.3.ffn_down.weight"), TensorType::kQ5_K);
  EXPECT_EQ(choice("Q4_K_S", "blk.4.attn_v.weight"), TensorType::kQ4_K);
  EXPECT_EQ(choice("IQ4_XS", "blk.9.attn_v.weight"), TensorType::kQ5_K);
  EXPECT_EQ(choice("IQ4_XS", "blk.3.ffn_down.weight"), TensorType::kQ5_K);
  EXPECT_EQ(choice("Q3_K_M", "blk.9.attn_output.weight"), TensorType::kQ4_K);
  EXPECT_EQ(choice("Q4_K_M", "blk.9.attn_qkv.weight"), TensorType::kQ5_K);
  EXPECT_EQ(choice("q4_k_m", "blk.9.attn_q.weight"), TensorType::kQ4_K);
}

TEST(Rules, ImportanceChangesTheFirstLayers) {
  const ModelShape shape{
      .n_layers = 32, .heads_per_kv_head = 1, .has_output = true, .has_importance = true};
  EXPECT_EQ(choice("Q4_0", "blk.0.ffn_down.weight", 2048, shape), TensorType::kQ4_1);
  EXPECT_EQ(choice("Q5_0", "blk.0.ffn_down.weight", 2048, shape), TensorType::kQ5_1);
  EXPECT_EQ(choice("IQ4_XS", "blk.0.ffn_down.weight", 2048, shape), TensorType::kIQ4_XS);
  EXPECT_EQ(choice("IQ4_XS", "blk.0.attn_v.weight", 2048, shape), TensorType::kIQ4_XS);
}

TEST(Rules, TiedEmbeddingsAreTheOutput) {
  const ModelShape shape{.n_layers = 30, .heads_per_kv_head = 3};
  EXPECT_EQ(choice("Q4_K_M", "token_embd.weight", 2048, shape), TensorType::kQ6_K);
  EXPECT_EQ(choice("Q4_K_M", "token_embd.weight", 576, shape), TensorType::kQ8_0);
}

TEST(Rules, RowsThatDoNotFitFallBack) {
  EXPECT_EQ(choice("Q4_K_M", "blk.9.attn_q.weight", 576), TensorType::kQ5_0);
  EXPECT_EQ(choice("Q5_K_M", "blk.9.attn_q.weight", 576), TensorType::kQ5_1);
  EXPECT_EQ(choice("Q6_K", "blk.9.attn_q.weight", 576), TensorType::kQ8_0);
  EXPECT_EQ(choice("IQ4_XS", "blk.9.attn_q.weight", 576), TensorType::kIQ4_NL);
  EXPECT_EQ(choice("Q3_K_M", "blk.9.attn_q.weight", 576), TensorType::kIQ4_NL);
  EXPECT_EQ(choice("Q4_K_M", "blk.9.attn_q.weight", 33), TensorType::kF16);
  EXPECT_EQ(choice("Q4_0", "blk.9.attn_q.weight", 33), TensorType::kF16);
  EXPECT_TRUE(choose_type(*find_file_type("Q4_0"), {}, tensor("blk.1.attn_q.weight", 33)).fallback);
}

TEST(Rules, SmallTensorsStayAsTheyAre) {
  for (const char* name : {"blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "rope_freqs",
                           "blk.0.attn_q.bias", "token_types.weight"}) {
    EXPECT_EQ(choice("Q4_0", name), TensorType::kF16) << name;
  }
  gguf::TensorInfo vector = tensor("blk.0.attn_q.weight", 256, 1);
  vector.n_dims = 1;
  EXPECT_EQ(choose_type(*find_file_type("Q4_0"), {}, vector).type, TensorType::kF16);
}

TEST(Rules, KnowsItsNames) {
  EXPECT_EQ(find_file_type("Q4_K"), nullptr);
  EXPECT_EQ(find_file_type(""), nullptr);
  EXPECT_EQ(find_file_type("iq4_xs")->number, 30u);
  EXPECT_EQ(quantize_type_names().size(), all_file_types().size());
}

// ---- messages

TEST(QuantizeMessages, RoundTripAndRefusals) {
  const QuantizeRequest request{{10, 20}, true, "a.gguf", "Q4_0", 3};
  const auto back = decode_quantize_request(encode_quantize_request(request));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->sizes, request.sizes);
  EXPECT_TRUE(back->has_importance);
  EXPECT_EQ(back->importance_name, "a.gguf");
  EXPECT_EQ(back->type, "Q4_0");
  EXPECT_EQ(back->threads, 3u);
  QuantizeResult result;
  result.type = "Q4_0";
  result.tensors = 5;
  result.bytes_out = 1ull << 40;
  const auto answer = decode_quantize_result(encode_quantize_result(result));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->bytes_out, result.bytes_out);
  for (const char* text : {"", "{}", "[]", "{\"sizes\":[-1]}", "{\"type\":\"Q9\"}"}) {
    EXPECT_FALSE(decode_quantize_request(text).ok()) << text;
    EXPECT_FALSE(decode_quantize_result(text).ok()) << text;
  }
  QuantizeRequest none = request;
  none.sizes = {10};
  EXPECT_FALSE(decode_quantize_request(encode_quantize_request(none)).ok());
  none = request;
  none.threads = 0;
  EXPECT_FALSE(decode_quantize_request(encode_quantize_request(none)).ok());
}

}  // namespace
}  // namespace holdfast::importer
