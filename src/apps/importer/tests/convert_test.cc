// Oracle: every row of every packed matrix gives the floats that the source's own codec gives, bit
// for bit.
#include "convert.h"

#include <gmock/gmock.h>

#include <cstring>

#include "golden_files.h"
#include "holdfast/json/json.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/platform/testing/simulated_filesystem.h"
#include "holdfast/quant/codec.h"
#include "holdfast/quant/packed.h"
#include "holdfast/tokenizer/tokenizer.h"
#include "holdfast/vault/pack_reader.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

using testing::golden;
using testing::golden_names;
using ::testing::HasSubstr;
using testing::parsed;
using testing::patched;

Result<std::uint64_t> tensor_bytes(std::uint16_t type, std::span<const std::uint64_t> dims) {
  if (type == 0 && dims.size() == 1) return 4 * dims[0];
  if (dims.size() != 2) return corrupt("dims");
  return quant::packed_bytes(static_cast<quant::TensorType>(type), dims[1], dims[0]);
}

ConvertOptions options_for(const std::vector<Bytes>& files) {
  ConvertOptions options;
  for (const Bytes& f : files) options.files.push_back({f.size(), crypto::sha256(f)});
  return options;
}

Result<Bytes> convert_bytes(const std::vector<Bytes>& files, ConvertOptions options,
                            std::uint64_t capacity = UINT64_MAX) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<const platform::ByteSource*> parts;
  for (const Bytes& f : files) {
    sources.push_back(std::make_unique<platform::MemorySource>(ByteView(f)));
    parts.push_back(sources.back().get());
  }
  platform::testing::SimulatedFileSystem fs;
  fs.set_capacity_bytes(capacity);
  HF_TRY_ASSIGN(const auto out, fs.create_exclusive("/out", 0600));
  std::uint64_t last = 0;
  HF_TRY_ASSIGN(const ConvertResult result,
                convert(parts, *out, options, [&](std::uint64_t done, std::uint64_t total) {
                  EXPECT_LE(last, done);
                  EXPECT_LE(done, total);
                  last = done;
                  return ok_status();
                }));
  EXPECT_EQ(result.pack_bytes, out->size());
  return platform::read_all(*out, 1u << 30);
}

Result<Bytes> convert_one(const Bytes& file) { return convert_bytes({file}, options_for({file})); }

std::vector<float> source_row(const Bytes& file, const gguf::TensorInfo& t, std::uint64_t row) {
  std::vector<float> out(t.columns());
  const std::uint64_t row_bytes = *quant::row_bytes(t.type, t.columns());
  quant::dequantize(t.type, file.data() + t.offset + row * row_bytes, out.size(), out.data());
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void expect_same_weights(const Bytes& file, const Bytes& pack) {
  const gguf::GgufFile gguf = parsed(file);
  const platform::MemorySource source{ByteView(pack)};
  const auto reader = vault::PackReader::open(source, tensor_bytes);
  ASSERT_TRUE(reader.ok()) << reader.error().to_string();
  EXPECT_TRUE(reader->verify_all().ok());
  EXPECT_EQ(reader->index().tensors.size(), gguf.tensors.size());
  for (const gguf::TensorInfo& t : gguf.tensors) {
    const vault::TensorEntry* entry = reader->tensor(t.name);
    ASSERT_NE(entry, nullptr) << t.name;
    Bytes bytes(entry->length);
    ASSERT_TRUE(reader->read_range(entry->offset, bytes).ok());
    if (entry->type == 0) {
      std::vector<float> values(t.columns());
      std::memcpy(values.data(), bytes.data(), bytes.size());
      EXPECT_TRUE(same_bits(values, source_row(file, t, 0))) << t.name;
      continue;
    }
    for (std::uint64_t row = 0; row < t.rows(); ++row) {
      std::vector<float> values(t.columns());
      quant::unpack_row(static_cast<quant::TensorType>(entry->type), bytes.data(), t.rows(),
                        t.columns(), row, values.data());
      ASSERT_TRUE(same_bits(values, source_row(file, t, row))) << t.name << " row " << row;
    }
  }
}

TEST(Convert, KeepsEveryWeightOfTheGoldenModels) {
  if (golden_names().empty()) GTEST_SKIP() << "no golden files";
  std::size_t converted = 0;
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    const Bytes file = golden(name);
    const auto pack = convert_one(file);
    if (!pack.ok() && pack.error().code() == ErrorCode::kUnsupported) {
      EXPECT_THAT(pack.error().client_message(), HasSubstr("unsupported architecture"));
      continue;
    }
    ASSERT_TRUE(pack.ok()) << pack.error().to_string();
    expect_same_weights(file, *pack);
    ++converted;
  }
  EXPECT_GE(converted, 10u);
}

class ConvertGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    if (golden_names().empty()) GTEST_SKIP() << "no golden files";
    file_ = golden("llama-tied-ropefreqs");
  }
  Error error_of(const Bytes& file) {
    const auto pack = convert_one(file);
    EXPECT_FALSE(pack.ok());
    return pack.ok() ? internal_error("no error") : pack.error();
  }
  Bytes file_;
};

TEST_F(ConvertGolden, BytesDoNotDependOnThreads) {
  ConvertOptions options = options_for({file_});
  const auto one = convert_bytes({file_}, options);
  ASSERT_TRUE(one.ok());
  for (const unsigned threads : {2u, 3u, 8u}) {
    options.threads = threads;
    EXPECT_EQ(*convert_bytes({file_}, options), *one) << threads;
  }
}

TEST_F(ConvertGolden, StoresTypedObjects) {
  const auto pack = convert_one(file_);
  ASSERT_TRUE(pack.ok());
  const platform::MemorySource source{ByteView(*pack)};
  const auto reader = vault::PackReader::open(source, tensor_bytes);
  const auto config = reader->read_object(vault::ObjectKind::kConfig);
  const auto hyper = model::from_json(as_string_view(*config));
  ASSERT_TRUE(hyper.ok());
  EXPECT_EQ(hyper->architecture, "llama");
  const auto tokenizer =
      tokenizer::Tokenizer::load_owned(*reader->read_object(vault::ObjectKind::kTokenizer));
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(static_cast<std::uint32_t>((*tokenizer)->vocab_size()), hyper->n_vocab);
  const Bytes metadata = *reader->read_object(vault::ObjectKind::kMetadata);
  const auto json = json::parse(as_string_view(metadata));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->find("format")->as_string(), "gguf");
  EXPECT_EQ(json->find("files")->as_array()[0].find("sha256")->as_string(),
            to_hex(crypto::sha256(file_)));
  EXPECT_GT(json->find("parameters")->as_int(), 100000);
}

TEST_F(ConvertGolden, SplitModelGivesTheSameWeights) {
  const auto parts = testing::split_in_two(file_);
  const auto pack = convert_bytes(parts, options_for(parts));
  ASSERT_TRUE(pack.ok()) << pack.error().to_string();
  expect_same_weights(file_, *pack);
}

TEST_F(ConvertGolden, NamesWhatItCannotUse) {
  const Error architecture = error_of(patched(file_, "llama", "zlama"));
  EXPECT_EQ(architecture.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(architecture.client_message(), HasSubstr("unsupported architecture \"zlama\""));
  EXPECT_THAT(architecture.client_message(), HasSubstr("qwen3"));
  const Error missing = error_of(patched(file_, "output_norm.weight", "output_nxrm.weight"));
  EXPECT_THAT(missing.to_string(), HasSubstr("output_norm.weight"));
  EXPECT_EQ(error_of(Bytes(100)).code(), ErrorCode::kInvalidArgument);
}

TEST_F(ConvertGolden, RefusesValuesThatAreNotFinite) {
  const gguf::GgufFile gguf = parsed(file_);
  const gguf::TensorInfo* norm = gguf.find_tensor("output_norm.weight");
  ASSERT_TRUE(norm != nullptr && norm->type == quant::TensorType::kF32);
  for (const std::uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u}) {
    Bytes file = file_;
    store_le(file.data() + norm->offset + 4 * 5, bits);
    const Error error = error_of(file);
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.client_message(), HasSubstr("output_norm.weight"));
    EXPECT_THAT(error.client_message(), HasSubstr("index 5"));
  }
}

TEST_F(ConvertGolden, VocabularyAloneWorksForAnyArchitecture) {
  const Bytes file = patched(file_, "llama", "zlama");
  ConvertOptions options = options_for({file});
  options.vocab_only = true;
  const auto pack = convert_bytes({file}, options);
  ASSERT_TRUE(pack.ok()) << pack.error().to_string();
  const platform::MemorySource source{ByteView(*pack)};
  const auto reader = vault::PackReader::open(source, tensor_bytes);
  EXPECT_TRUE(reader->index().tensors.empty());
  EXPECT_EQ(reader->index().find_object(vault::ObjectKind::kConfig), nullptr);
  EXPECT_TRUE(reader->read_object(vault::ObjectKind::kTokenizer).ok());
}

TEST_F(ConvertGolden, TemplateCanBeReplaced) {
  ConvertOptions options = options_for({file_});
  options.template_text = "{{ messages }}";
  options.template_name = "plain";
  const auto pack = convert_bytes({file_}, options);
  ASSERT_TRUE(pack.ok());
  const platform::MemorySource source{ByteView(*pack)};
  const auto reader = vault::PackReader::open(source, tensor_bytes);
  const Bytes text = *reader->read_object(vault::ObjectKind::kTemplate);
  EXPECT_EQ(as_string_view(text), "{{ messages }}");
  EXPECT_EQ(reader->header().template_digest, crypto::sha256(text));
  EXPECT_EQ(reader->header().source_digest,
            vault::source_digest(std::vector{options.files[0].digest}));
}

TEST_F(ConvertGolden, ReportsAFullDisk) {
  const auto pack = convert_bytes({file_}, options_for({file_}), 300000);
  ASSERT_FALSE(pack.ok());
  EXPECT_EQ(pack.error().code(), ErrorCode::kExhausted);
}

// Hostile bytes reach the child's own answer at most as text.
TEST_F(ConvertGolden, EveryTruncationIsATypedError) {
  for (std::size_t n = 0; n < file_.size(); n += n < 8192 ? 13 : 4999) {
    const Error error = error_of(Bytes(file_.begin(), file_.begin() + static_cast<long>(n)));
    EXPECT_TRUE(error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kInvalidArgument)
        << n << " " << error.to_string();
  }
}

TEST_F(ConvertGolden, NoFlippedHeaderByteCrashes) {
  Bytes file = golden("quant-IQ1_S");
  const std::uint64_t header = parsed(file).tensors[0].offset;
  std::size_t refused = 0;
  std::size_t tried = 0;
  for (std::uint64_t at = 0; at < header; at += at < 2048 ? 3 : 23) {
    for (const int flip : {0x01, 0xff}) {
      file[at] ^= static_cast<std::byte>(flip);
      refused += convert_one(file).ok() ? 0 : 1;
      file[at] ^= static_cast<std::byte>(flip);
      ++tried;
    }
  }
  EXPECT_GT(tried, 500u);
  EXPECT_GT(refused, tried / 4);
}

TEST(ImportProtocol, RoundTripsAndRefuses) {
  ConvertOptions options;
  options.files = {{5, crypto::sha256({})}, {7, crypto::sha256(as_bytes_view("x"))}};
  options.template_text = "a\n\"b\"";
  options.template_name = "chatml";
  options.threads = 4;
  const auto back = decode_request(encode_request(options));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->files.size(), 2u);
  EXPECT_EQ(back->files[1].digest, options.files[1].digest);
  EXPECT_EQ(back->template_text, options.template_text);
  EXPECT_EQ(back->threads, 4u);
  for (const char* bad :
       {"", "[]", "{}", R"({"files":[]})", R"({"files":[{"size":1,"sha256":"00"}]})",
        R"({"files":[{"size":-1}],"vocab_only":true,"threads":1})"}) {
    EXPECT_FALSE(decode_request(bad).ok()) << bad;
    EXPECT_FALSE(decode_result(bad).ok()) << bad;
  }
  ConvertResult result;
  result.facts.architecture = "lla\x1b[31mma";
  result.pack_bytes = 9;
  EXPECT_EQ(decode_result(encode_result(result))->facts.architecture, "lla[31mma");
}

}  // namespace
}  // namespace holdfast::importer
