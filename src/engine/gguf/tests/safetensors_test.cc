// Oracles: headers written by hand, the rules of the format's own description (tests/golden/hf
// holds files that the official library wrote), and arithmetic.
#include "holdfast/gguf/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation_meter.h"

namespace holdfast::gguf {
namespace {

using ::testing::HasSubstr;
using testing::largest_allocation;

Bytes file_of(std::string_view header, std::size_t data_bytes) {
  ByteWriter out;
  out.le<std::uint64_t>(header.size()).raw(header);
  for (std::size_t i = 0; i < data_bytes; ++i) out.le(static_cast<std::uint8_t>(i));
  return std::move(out).take();
}

Result<SafetensorsFile> parse_bytes(const Bytes& bytes, const SafetensorsLimits& limits = {}) {
  const platform::MemorySource source{ByteView(bytes)};
  return parse_safetensors(source, limits);
}

void expect_error(const Result<SafetensorsFile>& result, ErrorCode code, std::string_view message) {
  ASSERT_FALSE(result.ok()) << message;
  EXPECT_EQ(error_code_name(result.error().code()), error_code_name(code))
      << result.error().to_string();
  EXPECT_THAT(result.error().client_message(), HasSubstr(std::string(message)));
}

// Two tensors, 24 and 8 bytes.
constexpr std::string_view kSmall = R"({"__metadata__":{"format":"pt"},)"
                                    R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},)"
                                    R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}  )";

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const auto file = parse_bytes(file_of(kSmall, 32));
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  ASSERT_EQ(file->tensors.size(), 2u);
  const TensorInfo& a = file->tensors[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.type, quant::TensorType::kF32);
  EXPECT_EQ(a.n_dims, 2);
  EXPECT_EQ(a.columns(), 3u);
  EXPECT_EQ(a.rows(), 2u);
  EXPECT_EQ(a.offset, 8 + kSmall.size());
  EXPECT_EQ(file->tensors[1].type, quant::TensorType::kBF16);
  EXPECT_EQ(file->tensors[1].offset, 8 + kSmall.size() + 24);
  EXPECT_EQ(file->metadata.at(0).second, "pt");
}

TEST(Safetensors, RefusesEveryTruncationAndEveryAddedByte) {
  const Bytes whole = file_of(kSmall, 32);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(parse_bytes(Bytes(whole.begin(), whole.begin() + static_cast<long>(n))).ok()) << n;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  expect_error(parse_bytes(longer), ErrorCode::kCorrupt, "1 bytes that belong to no tensor");
}

TEST(Safetensors, SurvivesEveryFlippedByte) {
  Bytes bytes = file_of(kSmall, 32);
  for (std::size_t at = 0; at < 8 + kSmall.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      const auto file = parse_bytes(bytes);
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      if (!file.ok()) continue;
      for (const TensorInfo& t : file->tensors) ASSERT_LE(t.offset + t.bytes, bytes.size());
    }
  }
}

// A claim is compared with the bytes that are there before anything is allocated.
TEST(Safetensors, ClaimsAllocateNothing) {
  for (const std::uint64_t claim :
       {std::uint64_t{64}, std::uint64_t{1} << 20, std::uint64_t{1} << 24,
        std::uint64_t{99'999'999}, std::uint64_t{1} << 32, std::uint64_t{1} << 62,
        ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    ByteWriter out;
    out.le(claim).raw("{\"a\":{}}");
    const Bytes bytes = std::move(out).take();
    largest_allocation = 0;
    const auto file = parse_bytes(bytes);
    EXPECT_LE(largest_allocation, 200u);
    expect_error(file, ErrorCode::kCorrupt, "header of");
  }
}

TEST(Safetensors, TellsOtherFilesApart) {
  expect_error(parse_bytes({}), ErrorCode::kInvalidArgument, "not a safetensors file");
  expect_error(parse_bytes(file_of("[]", 0)), ErrorCode::kInvalidArgument, "not a safetensors");
  ByteWriter zip;
  zip.raw("PK\x03\x04").raw(std::string(60, '\0'));
  expect_error(parse_bytes(std::move(zip).take()), ErrorCode::kUnsupported, "pickle");
  ByteWriter pickle;
  pickle.raw("\x80\x02}q").raw(std::string(60, 'q'));
  expect_error(parse_bytes(std::move(pickle).take()), ErrorCode::kUnsupported, "pickle");
}

struct Mutation {
  std::string_view from;
  std::string_view to;
  ErrorCode code;
  std::string_view message;
};

// Each changes one field of kSmall.
const Mutation kMutations[] = {
    {"\"F32\"", "\"F64\"", ErrorCode::kUnsupported, "data type \"F64\" of tensor \"a\""},
    {"\"F32\"", "\"I64\"", ErrorCode::kUnsupported, "\"I64\""},
    {"\"F32\"", "\"I32\"", ErrorCode::kUnsupported, "\"I32\""},
    {"\"F32\"", "\"I8\"", ErrorCode::kUnsupported, "\"I8\""},
    {"\"F32\"", "\"U8\"", ErrorCode::kUnsupported, "\"U8\""},
    {"\"F32\"", "\"BOOL\"", ErrorCode::kUnsupported, "\"BOOL\""},
    {"\"F32\"", "\"F8_E4M3\"", ErrorCode::kUnsupported, "\"F8_E4M3\""},
    {"\"F32\"", "\"F8_E5M2\"", ErrorCode::kUnsupported, "\"F8_E5M2\""},
    {"\"F32\"", "\"f32\"", ErrorCode::kUnsupported, "\"f32\""},
    {"\"F32\"", "\"\"", ErrorCode::kUnsupported, "data type"},
    {"\"F32\"", "0", ErrorCode::kCorrupt, "\"a\" has no data type"},
    {"\"F32\"", "null", ErrorCode::kCorrupt, "no data type"},
    {"\"dtype\":\"F32\",", "", ErrorCode::kCorrupt, "no data type"},
    {"\"F32\"", "\"F16\"", ErrorCode::kCorrupt, "24 bytes where its shape needs 12"},
    {"[2,3]", "[2,4]", ErrorCode::kCorrupt, "24 bytes where its shape needs 32"},
    {"[2,3]", "[6]", ErrorCode::kCorrupt, ""},  // the same bytes: fine, see below
    {"[2,3]", "[]", ErrorCode::kCorrupt, "0 dimensions"},
    {"[2,3]", "[1,1,1,2,3]", ErrorCode::kCorrupt, "5 dimensions"},
    {"[2,3]", "[0,3]", ErrorCode::kCorrupt, "empty dimension"},
    {"[2,3]", "[-2,-3]", ErrorCode::kCorrupt, "whole number"},
    {"[2,3]", "[2.0,3]", ErrorCode::kCorrupt, "whole number"},
    {"[2,3]", "[2,\"3\"]", ErrorCode::kCorrupt, "whole number"},
    {"[2,3]", "[2,null]", ErrorCode::kCorrupt, "whole number"},
    {"[2,3]", "[2,[3]]", ErrorCode::kCorrupt, "header is not valid"},
    {"[2,3]", "{}", ErrorCode::kCorrupt, "no shape"},
    {"[2,3]", "6", ErrorCode::kCorrupt, "no shape"},
    {"\"shape\":[2,3],", "", ErrorCode::kCorrupt, "no shape"},
    {"[2,3]", "[4294967296,4294967296]", ErrorCode::kCorrupt, "too large"},
    {"[2,3]", "[4611686018427387904,4]", ErrorCode::kCorrupt, "too large"},
    {"[2,3]", "[9223372036854775807,2]", ErrorCode::kCorrupt, "too large"},
    {"[2,3]", "[18446744073709551615]", ErrorCode::kCorrupt, "whole number"},
    {"[2,3]", "[2305843009213693953,8]", ErrorCode::kCorrupt, "too large"},
    {"[2,3]", "[6442450945,1431655766]", ErrorCode::kCorrupt, "too large"},
    {"[2,3]", "[1e3,3]", ErrorCode::kCorrupt, "whole number"},
    {"[0,24]", "[24,0]", ErrorCode::kCorrupt, "beyond the end"},
    {"[0,24]", "[0,25]", ErrorCode::kCorrupt, "25 bytes where its shape needs 24"},
    {"[0,24]", "[0,23]", ErrorCode::kCorrupt, "23 bytes"},
    {"[0,24]", "[1,25]", ErrorCode::kCorrupt, "leaves a hole"},
    {"[0,24]", "[8,32]", ErrorCode::kCorrupt, "leaves a hole"},
    {"[0,24]", "[9,33]", ErrorCode::kCorrupt, "beyond the end"},
    {"[0,24]", "[-8,16]", ErrorCode::kCorrupt, "data offset"},
    {"[0,24]", "[0.0,24]", ErrorCode::kCorrupt, "data offset"},
    {"[0,24]", "[0,24,0]", ErrorCode::kCorrupt, "data_offsets"},
    {"[0,24]", "[0]", ErrorCode::kCorrupt, "data_offsets"},
    {"[0,24]", "24", ErrorCode::kCorrupt, "data_offsets"},
    {"[0,24]", "[18446744073709551600,18446744073709551624]", ErrorCode::kCorrupt, "data offset"},
    {"[0,24]", "[9223372036854775783,9223372036854775807]", ErrorCode::kCorrupt, "beyond the end"},
    {",\"data_offsets\":[0,24]", "", ErrorCode::kCorrupt, "data_offsets"},
    {",\"data_offsets\":[0,24]", ",\"data_offsets\":[0,24],\"x\":1", ErrorCode::kCorrupt,
     "unknown members"},
    {"[24,32]", "[16,24]", ErrorCode::kCorrupt, "overlaps the one before"},
    {"[24,32]", "[0,8]", ErrorCode::kCorrupt, "overlaps"},
    {"[24,32]", "[23,31]", ErrorCode::kCorrupt, "overlaps"},
    {"\"b\":", "\"a\":", ErrorCode::kCorrupt, "duplicate key"},
    {"\"b\":", "\"\":", ErrorCode::kCorrupt, "name"},
    {"\"b\":", "\"b\\n\":", ErrorCode::kCorrupt, "name"},
    {"\"b\":", "\"\\u0000\":", ErrorCode::kCorrupt, "name"},
    {"\"b\":", "\"\\ud800\":", ErrorCode::kCorrupt, "header is not valid"},
    {"{\"format\":\"pt\"}", "{\"format\":1}", ErrorCode::kCorrupt, "__metadata__"},
    {"{\"format\":\"pt\"}", "[]", ErrorCode::kCorrupt, "__metadata__"},
    {"{\"format\":\"pt\"}", "null", ErrorCode::kCorrupt, "__metadata__"},
    {"{\"format\":\"pt\"}", "{\"a\":\"1\",\"a\":\"2\"}", ErrorCode::kCorrupt, "duplicate key"},
    {"}}  ", "}},", ErrorCode::kCorrupt, "header is not valid"},
    {"}}  ", "}} x", ErrorCode::kCorrupt, "header is not valid"},
    {"}}  ", "}", ErrorCode::kCorrupt, "header is not valid"},
};

TEST(Safetensors, RefusesEachChangedField) {
  for (const Mutation& m : kMutations) {
    std::string header(kSmall);
    const std::size_t at = header.find(m.from);
    ASSERT_NE(at, std::string::npos) << m.from;
    header.replace(at, m.from.size(), m.to);
    SCOPED_TRACE(header);
    const auto file = parse_bytes(file_of(header, 32));
    if (m.message.empty()) {
      EXPECT_TRUE(file.ok());
    } else {
      expect_error(file, m.code, m.message);
    }
  }
}

TEST(Safetensors, KeepsItsLimits) {
  SafetensorsLimits limits;
  limits.tensors_max = 2;
  EXPECT_TRUE(parse_bytes(file_of(kSmall, 32), limits).ok());
  limits.tensors_max = 1;
  expect_error(parse_bytes(file_of(kSmall, 32), limits), ErrorCode::kCorrupt,
               "more than 1 tensors");
  limits.tensors_max = 2;
  limits.header_bytes_max = kSmall.size();
  EXPECT_TRUE(parse_bytes(file_of(kSmall, 32), limits).ok());
  limits.header_bytes_max = kSmall.size() - 1;
  expect_error(parse_bytes(file_of(kSmall, 32), limits), ErrorCode::kCorrupt, "limit");
  const auto named = [](std::size_t n) {
    return file_of(
        "{\"" + std::string(n, 'n') + R"(":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", 2);
  };
  EXPECT_TRUE(parse_bytes(named(255)).ok());
  expect_error(parse_bytes(named(256)), ErrorCode::kCorrupt, "too long");
}

// Strings that a file name from a foreign index must never be (R-06).
const std::string_view kTraversals[] = {"../model.safetensors",
                                        "..",
                                        ".",
                                        "",
                                        "/etc/passwd",
                                        "/etc/passwd.safetensors",
                                        "a/../../b.safetensors",
                                        "a/b.safetensors",
                                        "./model.safetensors",
                                        "..\\model.safetensors",
                                        "a\\b.safetensors",
                                        "C:\\model.safetensors",
                                        "C:model.safetensors",
                                        "//host/x.safetensors",
                                        "\\\\host\\x.safetensors",
                                        "file:///x.safetensors",
                                        "http://x/y.safetensors",
                                        "%2e%2e%2fx.safetensors",
                                        "..%2fx.safetensors",
                                        "%252e%252e/x.safetensors",
                                        "....//x.safetensors",
                                        ".hidden.safetensors",
                                        "..safetensors",
                                        ".safetensors",
                                        "-rf.safetensors",
                                        "model.safetensors/",
                                        "model.safetensors/.",
                                        "model.safetensors\n",
                                        "model.safetensors ",
                                        " model.safetensors",
                                        "model.safetensors\\u0000.bin",
                                        "mod\\u0000el.safetensors",
                                        "model\\u202egnp.safetensors",
                                        "\\u2024\\u2024/x.safetensors",
                                        "\\uff0e\\uff0e\\uff0fx.safetensors",
                                        "\\u00b7\\u00b7/x.safetensors",
                                        "~/x.safetensors",
                                        "$HOME.safetensors",
                                        "`id`.safetensors",
                                        "a;b.safetensors",
                                        "/dev/zero",
                                        "/proc/self/mem.safetensors",
                                        "model.SAFETENSORS",
                                        "model.bin",
                                        "model.pkl",
                                        "model.safetensors.bin"};

std::string escaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      out += "\\n";
    } else if (text[i] == '\\' && (i + 1 == text.size() || text[i + 1] != 'u')) {
      out += "\\\\";
    } else {
      out += text[i];
    }
  }
  return out;
}

TEST(ShardIndex, RefusesEveryNameThatIsNoPlainFile) {
  static_assert(std::size(kTraversals) >= 40);
  for (const std::string_view name : kTraversals) {
    const auto map = parse_shard_index("{\"weight_map\":{\"a\":\"" + escaped(name) + "\"}}");
    ASSERT_FALSE(map.ok()) << name;
    EXPECT_EQ(map.error().code(), ErrorCode::kCorrupt);
    EXPECT_THAT(map.error().client_message(), HasSubstr("no plain name")) << name;
  }
  EXPECT_TRUE(is_shard_name("model-00001-of-00002.safetensors"));
  EXPECT_TRUE(is_shard_name("model.fp16.safetensors"));
}

TEST(ShardIndex, RefusesOtherShapes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "index is not valid"},
      {"[]", "no weight_map"},
      {"{}", "no weight_map"},
      {R"({"weight_map":[]})", "no weight_map"},
      {R"({"weight_map":1})", "no weight_map"},
      {R"({"weight_map":null})", "no weight_map"},
      {R"({"weight_map":{}})", "empty"},
      {R"({"weight_map":{"a":1}})", "no text"},
      {R"({"weight_map":{"a":["x.safetensors"]}})", "no text"},
      {R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})", "\"a\" twice"},
      {R"({"weight_map":{"a":"x.safetensors"},"weight_map":{}})", "duplicate key"},
      {R"({"weight_map":["x.safetensors"]})", "names tensor"},
  };
  for (const auto& [text, message] : cases) {
    const auto map = parse_shard_index(text);
    ASSERT_FALSE(map.ok()) << text;
    EXPECT_EQ(map.error().code(), ErrorCode::kCorrupt) << text;
    if (text != R"({"weight_map":["x.safetensors"]})") {
      EXPECT_THAT(map.error().client_message(), HasSubstr(std::string(message))) << text;
    }
  }
}

Bytes one_tensor(std::string_view name) {
  return file_of(
      "{\"" + std::string(name) + R"(":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", 2);
}

struct ShardSet {
  std::vector<Bytes> bytes;
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<Shard> shards;

  void add(std::string name, std::string_view tensor) {
    sources.push_back(std::make_unique<platform::MemorySource>(one_tensor(tensor)));
    shards.push_back({std::move(name), sources.back().get()});
  }
};

TEST(Shards, JoinsWhatTheIndexSays) {
  ShardSet set;
  set.add("x.safetensors", "a");
  set.add("y.safetensors", "b");
  ShardIndex index{{"a", "x.safetensors"}, {"b", "y.safetensors"}};
  const auto tensors = parse_shards(set.shards, &index);
  ASSERT_TRUE(tensors.ok()) << tensors.error().to_string();
  EXPECT_EQ((*tensors)[1].part, 1u);

  const auto failure = [&](ErrorCode code, std::string_view message) {
    const auto result = parse_shards(set.shards, &index);
    ASSERT_FALSE(result.ok()) << message;
    EXPECT_EQ(result.error().code(), code);
    EXPECT_THAT(result.error().client_message(), HasSubstr(std::string(message)));
  };
  index["b"] = "x.safetensors";
  failure(ErrorCode::kInvalidArgument, "does not know the file \"y.safetensors\"");
  index["b"] = "z.safetensors";
  failure(ErrorCode::kInvalidArgument, "lacks the file \"z.safetensors\"");
  index = {{"a", "y.safetensors"}, {"b", "x.safetensors"}};
  failure(ErrorCode::kCorrupt, "tensor \"a\" is in x.safetensors where the index says y.safet");
  index = {{"a", "x.safetensors"}, {"c", "y.safetensors"}};
  failure(ErrorCode::kCorrupt, "tensor \"b\" is in y.safetensors where the index says nothing");
  index = {{"a", "x.safetensors"}, {"b", "y.safetensors"}, {"c", "y.safetensors"}};
  failure(ErrorCode::kCorrupt, "tensor \"c\" is not in y.safetensors");
  set.add("z.safetensors", "a");
  index = {{"a", "x.safetensors"}, {"b", "y.safetensors"}, {"d", "z.safetensors"}};
  failure(ErrorCode::kCorrupt, "tensor \"a\" is in z.safetensors");
  EXPECT_THAT(parse_shards(set.shards, nullptr).error().client_message(),
              HasSubstr("\"a\" is in two files"));
  EXPECT_EQ(parse_shards({}, nullptr).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::gguf
