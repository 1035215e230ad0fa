// Oracles: the formulas of the published configurations, written out again here, and a table in
// which each row changes one field and says how it is refused (R-03). That the numbers mean what
// they should is tests/e2e/safetensors_test.py, against another engine.
#include "config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/model/family.h"
#include "tiny_folder.h"

namespace holdfast::checkpoint {
namespace {

using testing::at_path;
using ::testing::HasSubstr;
using testing::TinyFolder;

struct Mutation {
  std::string_view path;   // of config.json; a member that is not there is added
  std::string_view value;  // JSON; empty: the member is removed
  ErrorCode code;
  std::string_view message;
};

constexpr ErrorCode kBad = ErrorCode::kCorrupt;
constexpr ErrorCode kNo = ErrorCode::kUnsupported;

const Mutation kMutations[] = {
    {"model_type", "", kBad, "model_type is missing"},
    {"model_type", "1", kBad, "model_type must be a text"},
    {"model_type", "\"\"", kBad, "model_type"},
    {"model_type", "\"mamba\"", kNo, "unsupported architecture \"mamba\""},
    {"model_type", "\"mixtral\"", kNo, "\"mixtral\""},
    {"model_type", "\"gemma3\"", kNo, "\"gemma3\""},
    {"model_type", "\"qwen2_moe\"", kNo, "\"qwen2_moe\""},
    {"model_type", "\"Llama\"", kNo, "\"Llama\""},
    {"architectures", "[\"LlamaForSequenceClassification\"]", kNo,
     "LlamaForSequenceClassification"},
    {"architectures", "[]", kBad, "architectures must be a list of one name"},
    {"architectures", "[\"a\",\"b\"]", kBad, "architectures"},
    {"architectures", "\"LlamaForCausalLM\"", kBad, "architectures"},
    {"architectures", "[1]", kBad, "architectures"},
    {"hidden_size", "", kBad, "hidden_size is missing"},
    {"hidden_size", "null", kBad, "hidden_size is missing"},
    {"hidden_size", "0", kBad, "hidden_size must be a whole number from 1"},
    {"hidden_size", "-8", kBad, "hidden_size"},
    {"hidden_size", "8.5", kBad, "hidden_size"},
    {"hidden_size", "\"8\"", kBad, "hidden_size"},
    {"hidden_size", "[8]", kBad, "hidden_size"},
    {"hidden_size", "true", kBad, "hidden_size"},
    {"hidden_size", "1048577", kBad, "hidden_size"},
    {"hidden_size", "4294967304", kBad, "hidden_size"},
    {"hidden_size", "18446744073709551624", kBad, "hidden_size"},
    {"hidden_size", "1e400", kBad, "number out of range"},
    {"hidden_size", "16", kBad, "not 2 heads of 8"},
    {"intermediate_size", "", kBad, "intermediate_size is missing"},
    {"intermediate_size", "0", kBad, "intermediate_size"},
    {"intermediate_size", "2147483648", kBad, "intermediate_size"},
    {"intermediate_size", "17", kBad, "tensors do not fit"},
    {"num_hidden_layers", "", kBad, "num_hidden_layers"},
    {"num_hidden_layers", "0", kBad, "num_hidden_layers"},
    {"num_hidden_layers", "-1", kBad, "num_hidden_layers"},
    {"num_hidden_layers", "1025", kBad, "num_hidden_layers"},
    {"num_hidden_layers", "1", kBad, "of a layer that a model of 1 layers"},
    {"num_hidden_layers", "3", kBad, "tensors do not fit"},
    {"num_attention_heads", "", kBad, "num_attention_heads"},
    {"num_attention_heads", "0", kBad, "num_attention_heads"},
    {"num_attention_heads", "-2", kBad, "num_attention_heads"},
    {"num_attention_heads", "1025", kBad, "num_attention_heads"},
    {"num_attention_heads", "3", kBad, "not 3 heads of 2"},
    {"num_attention_heads", "16", kBad, "not 16 heads"},
    {"num_key_value_heads", "0", kBad, "num_key_value_heads"},
    {"num_key_value_heads", "-1", kBad, "num_key_value_heads"},
    {"num_key_value_heads", "2", kBad, "not 2 heads of 4"},
    {"num_key_value_heads", "1.5", kBad, "num_key_value_heads"},
    {"head_dim", "0", kBad, "head_dim"},
    {"head_dim", "1025", kBad, "head_dim"},
    {"head_dim", "3", kBad, "heads of 3"},
    {"head_dim", "8", kBad, "heads of 8"},
    {"head_dim", "\"4\"", kBad, "head_dim"},
    {"vocab_size", "", kBad, "vocab_size"},
    {"vocab_size", "0", kBad, "vocab_size"},
    {"vocab_size", "-8", kBad, "vocab_size"},
    {"vocab_size", "1048577", kBad, "vocab_size"},
    {"vocab_size", "9", kBad, "vocab_size is 9, but the embedding has 8 rows"},
    {"vocab_size", "7", kBad, "vocab_size is 7"},
    {"max_position_embeddings", "", kBad, "max_position_embeddings"},
    {"max_position_embeddings", "0", kBad, "max_position_embeddings"},
    {"max_position_embeddings", "-1", kBad, "max_position_embeddings"},
    {"max_position_embeddings", "134217729", kBad, "max_position_embeddings"},
    {"max_position_embeddings", "1000.5", kBad, "max_position_embeddings"},
    {"rms_norm_eps", "-1e-5", kBad, "rms_norm_eps must be a number from 0 to 1"},
    {"rms_norm_eps", "2", kBad, "rms_norm_eps"},
    {"rms_norm_eps", "\"1e-5\"", kBad, "rms_norm_eps"},
    {"rope_theta", "0", kBad, "rope_theta must be a number"},
    {"rope_theta", "-10000", kBad, "rope_theta"},
    {"rope_theta", "1e13", kBad, "rope_theta"},
    {"rope_theta", "[10000]", kBad, "rope_theta"},
    {"partial_rotary_factor", "0", kBad, "partial_rotary_factor"},
    {"partial_rotary_factor", "1.5", kBad, "partial_rotary_factor"},
    {"partial_rotary_factor", "0.25", kBad, "rope"},  // one element of each head: no pair
    {"hidden_act", "\"relu\"", kNo, "unsupported hidden_act \"relu\""},
    {"hidden_act", "\"gelu\"", kNo, "\"gelu\""},
    {"hidden_act", "1", kBad, "hidden_act must be a text"},
    {"tie_word_embeddings", "1", kBad, "tie_word_embeddings must be true or false"},
    {"tie_word_embeddings", "\"false\"", kBad, "tie_word_embeddings"},
    {"mlp_bias", "true", kNo, "mlp_bias"},
    {"num_local_experts", "8", kNo, "num_local_experts"},
    {"num_experts", "8", kNo, "num_experts"},
    {"quantization_config", "{\"quant_method\":\"gptq\"}", kNo, "quantised"},
    {"use_bidirectional_attention", "true", kNo, "use_bidirectional_attention"},
    {"sliding_window", "0", kBad, "sliding_window"},
    {"sliding_window", "-1", kBad, "sliding_window"},
    {"rope_scaling", "1", kBad, "rope_scaling must be an object"},
    {"rope_scaling", "[]", kBad, "rope_scaling"},
    {"rope_scaling", R"({"rope_type":"dynamic","factor":2})", kNo, "rope_type \"dynamic\""},
    {"rope_scaling", R"({"rope_type":1})", kBad, "rope_type must be a text"},
    {"rope_scaling", R"({"type":"linear"})", kBad, "rope_scaling: factor is missing"},
    {"rope_scaling", R"({"type":"linear","factor":0})", kBad, "factor must be a number"},
    {"rope_scaling", R"({"type":"linear","factor":-4})", kBad, "factor"},
    {"rope_scaling", R"({"type":"linear","factor":1e9})", kBad, "factor"},
    {"rope_scaling", R"({"type":"linear","factor":"4"})", kBad, "factor"},
    {"rope_scaling",
     R"({"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":64})",
     kBad, "high_freq_factor must be above"},
    {"rope_scaling",
     R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":1,"original_max_position_embeddings":64})",
     kBad, "high_freq_factor must be above"},
    {"rope_scaling",
     R"({"rope_type":"llama3","factor":8,"low_freq_factor":0,"high_freq_factor":4,"original_max_position_embeddings":64})",
     kBad, "low_freq_factor"},
    {"rope_scaling",
     R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4})", kBad,
     "original_max_position_embeddings is missing"},
    {"rope_scaling",
     R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":0})",
     kBad, "original_max_position_embeddings"},
    {"rope_scaling", R"({"rope_type":"yarn"})", kBad, "factor is missing"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"mscale":0.7})", kNo, "mscale"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"mscale_all_dim":0.7})", kNo,
     "mscale_all_dim"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"truncate":false})", kNo, "truncate"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"beta_fast":0})", kBad, "beta_fast"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"beta_slow":-1})", kBad, "beta_slow"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"attention_factor":0})", kBad,
     "attention_factor"},
    {"rope_scaling", R"({"rope_type":"yarn","factor":4,"original_max_position_embeddings":-4})",
     kBad, "original_max_position_embeddings"},
    {"rope_scaling", R"({"type":"longrope"})", kBad, "long_factor is missing"},
    {"rope_scaling", R"({"type":"longrope","long_factor":[1,1],"short_factor":[1]})", kBad,
     "short_factor must be a list of 2 numbers"},
    {"rope_scaling", R"({"type":"longrope","long_factor":[1,0],"short_factor":[1,1]})", kBad,
     "long_factor"},
    {"rope_scaling", R"({"type":"longrope","long_factor":[1,-1],"short_factor":[1,1]})", kBad,
     "long_factor"},
    {"rope_scaling", R"({"type":"su","long_factor":[1,"1"],"short_factor":[1,1]})", kBad,
     "long_factor"},
    {"rope_parameters", "7", kBad, "rope_parameters must be an object"},
    {"rope_parameters", R"({"rope_theta":-1})", kBad, "rope_parameters: rope_theta"},
    {"rope_parameters", R"({"full_attention":3})", kBad, "full_attention must be an object"},
    {"eos_token_id", "8", kBad, "eos_token_id is no id"},
    {"eos_token_id", "-1", kBad, "eos_token_id"},
    {"eos_token_id", "[6,\"6\"]", kBad, "eos_token_id"},
    {"eos_token_id", "6.5", kBad, "eos_token_id"},
    {"bos_token_id", "4294967295", kBad, "bos_token_id is no id"},
};

// What the importer asks of a folder before it writes anything.
Status accept(TinyFolder& folder) {
  HF_TRY_ASSIGN(const Checkpoint checkpoint, folder.open());
  HF_TRY_ASSIGN(const model::Inspection inspection, model::inspect(checkpoint.file));
  HF_TRY_ASSIGN(const tokenizer::Vocabulary v, vocabulary(checkpoint));
  return ok_status();
}

TEST(Config, TheUnchangedFolderIsAccepted) {
  TinyFolder folder;
  const Status status = accept(folder);
  EXPECT_TRUE(status.ok()) << status.error().to_string();
}

TEST(Config, RefusesEachChangedField) {
  static_assert(std::size(kMutations) >= 110);
  for (const Mutation& m : kMutations) {
    SCOPED_TRACE(std::string(m.path) + " = " + std::string(m.value));
    TinyFolder folder;
    if (m.value.empty()) {
      folder.config().erase(m.path);
    } else {
      auto value = json::parse(m.value);
      if (!value.ok()) {  // a number that no parser takes: put it into the text
        std::string text = json::write(json::Value(folder.config()));
        text.insert(1, "\"x\":" + std::string(m.value) + ",");
        folder.set_file("config.json", text);
      } else {
        folder.config().set(std::string(m.path), *std::move(value));
      }
    }
    const Status status = accept(folder);
    if (status.ok()) {
      ADD_FAILURE() << "accepted";
      continue;
    }
    EXPECT_EQ(error_code_name(status.error().code()), error_code_name(m.code))
        << status.error().to_string();
    EXPECT_THAT(status.error().to_string(), HasSubstr(std::string(m.message)));
  }
}

ModelConfig config_of(std::string_view changes) {
  TinyFolder folder;
  auto more = json::parse(changes);
  EXPECT_TRUE(more.ok()) << more.error().to_string();
  for (const json::Member& m : more->as_object()) folder.config().set(m.key, m.value);
  auto config = read_config(json::Value(folder.config()));
  EXPECT_TRUE(config.ok()) << config.error().to_string();
  return config.ok() ? *std::move(config) : ModelConfig();
}

double number_of(const ModelConfig& config, std::string_view key) {
  for (const auto& [name, value] : config.metadata) {
    if (name != config.architecture + "." + std::string(key)) continue;
    if (const auto* d = std::get_if<double>(&value.data)) return *d;
    if (const auto* u = std::get_if<std::uint64_t>(&value.data)) return static_cast<double>(*u);
  }
  return -1;
}

TEST(Config, CapsTheContextWhereTheFamilyHasAWindowThatIsNotComputed) {
  EXPECT_EQ(number_of(config_of("{}"), "context_length"), 128);
  EXPECT_EQ(number_of(config_of(R"({"sliding_window":32})"), "context_length"), 32);
  const std::string mistral =
      R"("model_type":"mistral","architectures":["MistralForCausalLM"],"max_position_embeddings":32768)";
  EXPECT_EQ(number_of(config_of("{" + mistral + "}"), "context_length"), 4096);
  EXPECT_EQ(number_of(config_of("{" + mistral + R"(,"sliding_window":null})"), "context_length"),
            32768);
  const std::string qwen = R"("model_type":"qwen2","architectures":["Qwen2ForCausalLM"])";
  EXPECT_EQ(number_of(config_of("{" + qwen + R"(,"sliding_window":16})"), "context_length"), 128);
  EXPECT_EQ(number_of(config_of("{" + qwen + R"(,"sliding_window":16,"use_sliding_window":true})"),
                      "context_length"),
            16);
}

// The published formula of Llama 3.1, in other words: by wavelength.
TEST(Config, DividesFrequenciesAsLlama3Does) {
  const ModelConfig config = config_of(
      R"({"head_dim":64,"rope_theta":500000,"rope_scaling":{"rope_type":"llama3","factor":8,
          "low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192}})");
  ASSERT_EQ(config.vectors.size(), 1u);
  EXPECT_EQ(config.vectors[0].name, "rope_freqs.weight");
  ASSERT_EQ(config.vectors[0].values.size(), 32u);
  for (std::size_t i = 0; i < 32; ++i) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, 2.0 * static_cast<double>(i) / 64);
    double divisor = 8;
    if (wavelength < 8192.0 / 4) {
      divisor = 1;
    } else if (wavelength <= 8192.0) {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      divisor = 1 / ((1 - smooth) / 8 + smooth);
    }
    EXPECT_NEAR(config.vectors[0].values[i], divisor, divisor * 1e-5) << i;
  }
}

TEST(Config, ReadsOldAndNewFormsOfRotationsAlike) {
  const ModelConfig before =
      config_of(R"({"rope_theta":5000,"rope_scaling":{"type":"linear","factor":4}})");
  const ModelConfig after = config_of(
      R"({"rope_theta":null,"rope_parameters":{"rope_theta":5000,"rope_type":"linear","factor":4}})");
  for (const ModelConfig* config : {&before, &after}) {
    EXPECT_EQ(number_of(*config, "rope.freq_base"), 5000);
    EXPECT_EQ(number_of(*config, "rope.scaling.factor"), 4);
  }
  const std::string gemma = R"("model_type":"gemma3_text","architectures":["Gemma3ForCausalLM"],
      "hidden_act":null,"hidden_activation":"gelu_pytorch_tanh","sliding_window":16)";
  const ModelConfig old_gemma =
      config_of("{" + gemma + R"(,"rope_theta":1e6,"rope_local_base_freq":1e4})");
  const ModelConfig new_gemma = config_of("{" + gemma + R"(,"rope_parameters":{
      "full_attention":{"rope_type":"default","rope_theta":1e6},
      "sliding_attention":{"rope_type":"default","rope_theta":1e4}}})");
  for (const ModelConfig* config : {&old_gemma, &new_gemma}) {
    EXPECT_EQ(number_of(*config, "rope.freq_base"), 1e6);
    EXPECT_EQ(number_of(*config, "rope.freq_base_swa"), 1e4);
  }
}

// A yarn rotation multiplies by 1 + ln(factor) / 10 itself; a file may say another number.
TEST(Config, TurnsTheMagnitudeOfYarnIntoAShareOfOurs) {
  const ModelConfig config =
      config_of(R"({"rope_scaling":{"rope_type":"yarn","factor":4,"attention_factor":1.0}})");
  EXPECT_NEAR(number_of(config, "rope.scaling.attn_factor"), 1 / (1 + 0.1 * std::log(4)), 1e-6);
  const ModelConfig plain = config_of(R"({"rope_scaling":{"rope_type":"yarn","factor":4}})");
  EXPECT_NEAR(number_of(plain, "rope.scaling.attn_factor"), 1, 1e-6);
}

}  // namespace
}  // namespace holdfast::checkpoint
