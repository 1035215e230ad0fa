#include "request.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "holdfast/base/units.h"

namespace holdfast::gateway {
namespace {

constexpr std::size_t kStopMax = 16;
constexpr std::size_t kStopBytesMax = 256;
constexpr std::size_t kLogitBiasMax = 1024;
constexpr std::int64_t kTopLogprobsMax = 20;
constexpr std::size_t kPromptsMax = 256;
constexpr std::size_t kMetadataMax = 16;
constexpr std::size_t kSchemaNameBytesMax = 64;
constexpr std::size_t kSchemaBytesMax = 1u << 20;
constexpr auto kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr auto kInt64Min = std::numeric_limits<std::int64_t>::min();
constexpr auto kInt32Max = std::numeric_limits<std::int32_t>::max();

// Known fields that would change the meaning of the answer and are not built: never ignored.
constexpr std::string_view kRefused[] = {
    "audio",          "web_search_options", "moderation",   "grammar",
    "json_schema",    "guided_json",        "guided_regex", "guided_choice",
    "guided_grammar", "structured_outputs", "lora",         "suffix"};

constexpr std::string_view kRouting[] = {
    "api_base",      "base_url", "api_key", "api_version", "api_type",     "custom_llm_provider",
    "extra_headers", "headers",  "proxy",   "region",      "organization", "endpoint",
    "model_list"};

void parse_stop(Fields& fields, GenerationSpec& out) {
  const json::Value* value = fields.find("stop");
  if (value == nullptr) return;
  const auto bad = [&] {
    fields.fail(invalid_value(
        "stop", "Invalid value for 'stop': a string or up to 16 strings, each of 1 to 256 bytes."));
  };
  const auto add = [&](const json::Value& item) {
    const bool good =
        item.is_string() && !item.as_string().empty() && item.as_string().size() <= kStopBytesMax;
    if (!good) return bad();
    out.stop.push_back(item.as_string());
  };
  if (!value->is_array()) return add(*value);
  if (value->as_array().size() > kStopMax) return bad();
  for (const json::Value& item : value->as_array()) add(item);
}

void parse_logit_bias(Fields& fields, GenerationSpec& out) {
  const json::Object* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > kLogitBiasMax) {
    fields.fail(
        invalid_value("logit_bias", "Invalid value for 'logit_bias': at most 1024 entries."));
    return;
  }
  for (const auto& [key, value] : *biases) {
    std::int32_t id = -1;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool good = code == std::errc() && end == key.data() + key.size() && id >= 0 &&
                      value.is_number() && value.as_double() >= -100 && value.as_double() <= 100;
    if (!good) {
      fields.fail(invalid_value(
          "logit_bias",
          "Invalid value for 'logit_bias': it maps token ids to numbers between -100 and 100."));
      return;
    }
    out.sampling.logit_bias.emplace_back(id, static_cast<float>(value.as_double()));
  }
}

// A range that excludes its lower bound.
std::optional<double> above_zero(Fields& fields, std::string_view name, double max) {
  const auto value = fields.number(name, 0, max);
  if (value && *value <= 0) {
    fields.fail(invalid_value(
        std::string(name), "Invalid value for '" + std::string(name) + "': it must be above 0."));
  }
  return value;
}

void parse_mirostat(Fields& fields) {
  const auto mode = fields.integer("mirostat", 0, 2);
  fields.number("mirostat_tau", 0, 100);
  fields.number("mirostat_eta", 0, 1);
  if (mode.value_or(0) != 0) fields.fail(unsupported_parameter("mirostat"));
}

void parse_sampling(Fields& fields, GenerationSpec& out) {
  backend::SamplingParams& s = out.sampling;
  s.temperature = fields.number("temperature", 0, 2).value_or(s.temperature);
  s.top_p = above_zero(fields, "top_p", 1).value_or(s.top_p);
  s.presence_penalty = fields.number("presence_penalty", -2, 2).value_or(0);
  s.frequency_penalty = fields.number("frequency_penalty", -2, 2).value_or(0);
  // llama.cpp and vLLM write "off" as 0 or -1.
  s.top_k = static_cast<std::int32_t>(
      std::max<std::int64_t>(0, fields.integer("top_k", -1, kInt32Max).value_or(0)));
  s.min_p = fields.number("min_p", 0, 1).value_or(s.min_p);
  s.typical_p = above_zero(fields, "typical_p", 1).value_or(s.typical_p);
  s.repeat_penalty = above_zero(fields, "repetition_penalty", 100).value_or(s.repeat_penalty);
  s.repeat_penalty = above_zero(fields, "repeat_penalty", 100).value_or(s.repeat_penalty);
  s.repeat_last_n = static_cast<std::int32_t>(
      fields.integer("repeat_last_n", -1, kInt32Max).value_or(s.repeat_last_n));
  s.seed = fields.integer("seed", kInt64Min, kInt64Max);
  s.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  parse_mirostat(fields);
  parse_logit_bias(fields, out);
  parse_stop(fields, out);
}

void parse_max_tokens(Fields& fields, GenerationSpec& out) {
  auto limit = fields.integer("max_completion_tokens", 1, kInt64Max);
  const auto older = fields.integer("max_tokens", 1, kInt64Max);
  if (!limit) limit = older;
  if (limit) {
    out.max_tokens = static_cast<std::uint32_t>(
        std::min<std::int64_t>(*limit, std::numeric_limits<std::uint32_t>::max()));
  }
}

void parse_stream(Fields& fields, GenerationSpec& out) {
  out.stream = fields.boolean("stream").value_or(false);
  const json::Object* options = fields.object("stream_options");
  if (options == nullptr) return;
  Fields inner(*options, "stream_options");
  out.include_usage = inner.boolean("include_usage").value_or(false);
  if (inner.boolean("include_obfuscation").value_or(false)) {
    inner.fail(unsupported_parameter("stream_options.include_obfuscation"));
  }
  if (inner.error()) fields.fail(*inner.error());
}

// With its length before it, so that two fields cannot be read as one.
void add_salt(Fields& fields, std::string_view name, GenerationSpec& out) {
  const auto text = fields.string(name, 1024);
  if (!text || text->empty()) return;
  out.cache_salt += std::string(name) + ":" + std::to_string(text->size()) + ":" + *text;
}

void parse_scheduling(Fields& fields, GenerationSpec& out) {
  add_salt(fields, "prompt_cache_key", out);
  add_salt(fields, "cache_salt", out);
  out.service_tier = fields.string("service_tier", 64).value_or("");
  out.priority = fields.integer("priority", kInt64Min, kInt64Max).value_or(0);
}

// Fields that label a request. They are checked and do not change the answer.
void parse_labels(Fields& fields) {
  fields.string("user", 1024);
  fields.string("safety_identifier", 1024);
  const json::Object* metadata = fields.object("metadata");
  if (metadata == nullptr) return;
  bool good = metadata->size() <= kMetadataMax;
  for (const auto& [key, value] : *metadata) {
    good = good && key.size() <= 64 && value.is_string() && value.as_string().size() <= 4 * 512;
  }
  if (!good) {
    fields.fail(invalid_value(
        "metadata",
        "Invalid value for 'metadata': at most 16 pairs of strings of 64 and 512 characters."));
  }
}

void refuse_unsupported(Fields& fields) {
  for (const std::string_view name : kRefused) {
    if (fields.has(name)) fields.fail(unsupported_parameter(std::string(name)));
  }
  if (const json::Array* modalities = fields.array("modalities", 0, 8)) {
    const bool text = modalities->size() == 1 && modalities->front() == json::Value("text");
    if (!text) fields.fail(unsupported_parameter("modalities"));
  }
}

void check_schema(const json::Object& format, Fields& fields) {
  const std::string path = "response_format.json_schema";
  const json::Value* given = format.find("json_schema");
  if (given == nullptr || !given->is_object()) return fields.fail(missing_parameter(path));
  Fields inner(given->as_object(), path);
  const auto name = inner.string("name", kSchemaNameBytesMax);
  if (!name || name->empty()) inner.fail(missing_parameter(path + ".name"));
  inner.string("description");
  inner.boolean("strict");
  if (const json::Value* schema = inner.find("schema"); schema != nullptr && !schema->is_object()) {
    ApiError error = invalid_value(path + ".schema", "The JSON schema is no object.");
    error.code = "invalid_json_schema";
    inner.fail(std::move(error));
  }
  if (json::write(*given).size() > kSchemaBytesMax) {
    inner.fail(
        invalid_value(path, "Invalid value for '" + path + "': the schema is larger than 1 MiB."));
  }
  if (inner.error()) fields.fail(*inner.error());
}

void parse_response_format(Fields& fields, GenerationSpec& out) {
  const json::Object* format = fields.object("response_format");
  if (format == nullptr) return;
  const json::Value* type = format->find("type");
  const std::string name = type != nullptr && type->is_string() ? type->as_string() : "";
  if (name == "text") return;
  if (name == "json_schema") {
    check_schema(*format, fields);
  } else if (name != "json_object") {
    fields.fail(
        invalid_value("response_format.type", "Missing or invalid 'response_format.type'."));
  }
  out.response_format = *format;
}

void parse_common(const json::Object& body, Fields& fields, const RequestLimits& limits,
                  GenerationSpec& out) {
  refuse_routing_fields(body, fields);
  out.model = fields.string("model", 1024).value_or("");
  refuse_unsupported(fields);
  parse_response_format(fields, out);
  parse_stream(fields, out);
  parse_sampling(fields, out);
  parse_max_tokens(fields, out);
  parse_scheduling(fields, out);
  parse_labels(fields);
  out.n = static_cast<std::uint32_t>(fields.integer("n", 1, limits.n_max).value_or(1));
  out.best_of = out.n;
  out.keep_alive = parse_keep_alive(fields);
}

bool is_token_array(const json::Array& items) {
  return !items.empty() && std::all_of(items.begin(), items.end(),
                                       [](const json::Value& v) { return v.is_number(); });
}

void parse_prompts(Fields& fields, GenerationSpec& out) {
  const json::Value* prompt = fields.find("prompt");
  if (prompt == nullptr) return fields.fail(missing_parameter("prompt"));
  const auto bad = [&] {
    fields.fail(invalid_value("prompt",
                              "Invalid value for 'prompt': a string, an array of strings, of token "
                              "ids, or of arrays of token ids; "
                              "at most 256 prompts."));
  };
  const auto add = [&](const json::Value& item) {
    if (item.is_string()) {
      out.prompts.emplace_back(backend::TextPrompt{item.as_string()});
    } else if (auto tokens = parse_tokens(item); tokens && !tokens->empty()) {
      out.prompts.emplace_back(backend::TokenPrompt{std::move(*tokens)});
    } else {
      bad();
    }
  };
  if (!prompt->is_array() || is_token_array(prompt->as_array())) return add(*prompt);
  const json::Array& items = prompt->as_array();
  if (items.empty() || items.size() > kPromptsMax) return bad();
  for (const json::Value& item : items) add(item);
}

}  // namespace

Parsed<json::Object> parse_body(std::string_view body, std::size_t bytes_max, bool allow_empty) {
  if (body.empty() && allow_empty) return json::Object();
  json::ParseLimits limits;
  limits.bytes_max = bytes_max;
  auto value = json::parse(body, limits);
  if (!value.ok()) return invalid_json(value.error().client_message());
  if (!value->is_object()) return invalid_json("it must be a JSON object");
  return std::move(value->as_object());
}

void refuse_routing_fields(const json::Object& body, Fields& fields) {
  for (const auto& [key, value] : body) {
    bool routing = std::find(std::begin(kRouting), std::end(kRouting), key) != std::end(kRouting);
    for (const std::string_view prefix : {"aws_", "azure_", "vertex_"}) {
      routing = routing || key.substr(0, prefix.size()) == prefix;
    }
    if (routing) {
      fields.fail(unsupported_parameter(key.substr(0, 64),
                                        "Routing and credentials cannot be set by a request."));
    }
  }
}

std::optional<std::vector<std::int32_t>> parse_tokens(const json::Value& value) {
  if (!value.is_array()) return std::nullopt;
  std::vector<std::int32_t> out;
  out.reserve(value.as_array().size());
  for (const json::Value& item : value.as_array()) {
    const auto id = as_integer(item);
    if (!id || *id < 0 || *id > kInt32Max) return std::nullopt;
    out.push_back(static_cast<std::int32_t>(*id));
  }
  return out;
}

std::optional<std::chrono::milliseconds> parse_keep_alive(Fields& fields) {
  const json::Value* value = fields.find("keep_alive");
  if (value == nullptr) return std::nullopt;
  constexpr double kSecondsMax = 1e9;
  if (value->is_number() && value->as_double() < kSecondsMax) {
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(std::max(value->as_double(), -1.0) * 1000));
  }
  if (value->is_string()) {
    if (!value->as_string().empty() && value->as_string().front() == '-')
      return std::chrono::milliseconds(-1);
    if (auto duration = parse_duration(value->as_string()); duration.ok()) return *duration;
  }
  fields.fail(invalid_value(
      "keep_alive", "Invalid value for 'keep_alive': a duration such as \"5m\", or seconds."));
  return std::nullopt;
}

Parsed<GenerationSpec> parse_chat(const json::Object& body, const RequestLimits& limits) {
  GenerationSpec out;
  out.api = Api::kChat;
  Fields fields(body);
  parse_common(body, fields, limits, out);
  if (auto prompt = parse_chat_prompt(fields)) out.prompts.emplace_back(std::move(*prompt));
  out.older_functions = !fields.has("tools") && fields.has("functions");
  out.want_logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax);
  if (top && !out.want_logprobs && *top > 0) {
    fields.fail(invalid_value("top_logprobs",
                              "Invalid value for 'top_logprobs': it needs 'logprobs' to be true."));
  }
  out.top_logprobs = static_cast<std::uint32_t>(top.value_or(0));
  if (fields.error()) return *fields.error();
  return out;
}

std::optional<ApiError> needs_constraint(const GenerationSpec& spec) {
  if (!spec.response_format.is_null()) {
    return unsupported_parameter("response_format",
                                 "This model supports only the response format 'text'.");
  }
  const auto* chat = std::get_if<backend::ChatPrompt>(&spec.prompts.front());
  if (chat == nullptr || chat->tools.is_null()) return std::nullopt;
  if (chat->tool_choice.is_object() || chat->tool_choice == json::Value("required")) {
    const std::string field = spec.older_functions ? "function_call" : "tool_choice";
    return unsupported_parameter(field, "This model cannot be forced to call a tool.");
  }
  if (chat->parallel_tool_calls == false && chat->tool_choice != json::Value("none"))
    return unsupported_parameter("parallel_tool_calls");
  return std::nullopt;
}

Parsed<GenerationSpec> parse_completion(const json::Object& body, const RequestLimits& limits) {
  GenerationSpec out;
  out.api = Api::kCompletions;
  Fields fields(body);
  parse_common(body, fields, limits, out);
  parse_prompts(fields, out);
  out.echo = fields.boolean("echo").value_or(false);
  if (const auto top = fields.integer("logprobs", 0, kTopLogprobsMax)) {
    out.want_logprobs = true;
    out.top_logprobs = static_cast<std::uint32_t>(*top);
  }
  const auto best_of = fields.integer("best_of", 1, limits.n_max);
  out.best_of = static_cast<std::uint32_t>(best_of.value_or(out.n));
  if (out.best_of < out.n) {
    fields.fail(invalid_value("best_of", "Invalid value for 'best_of': it must not be below 'n'."));
  }
  if (out.best_of > out.n && out.stream) {
    fields.fail(invalid_value("best_of", "Invalid value for 'best_of': it cannot be streamed."));
  }
  if (fields.error()) return *fields.error();
  return out;
}

}  // namespace holdfast::gateway
