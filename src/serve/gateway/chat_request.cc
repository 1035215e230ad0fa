// Messages, tools and template arguments, brought into the one form that chat templates take.
#include <algorithm>
#include <set>

#include "request.h"

namespace holdfast::gateway {
namespace {

constexpr std::size_t kMessagesMax = 4096;
constexpr std::size_t kPartsMax = 4096;
constexpr std::size_t kToolsMax = 512;
constexpr std::size_t kToolBytesMax = 1u << 20;
constexpr std::size_t kToolCallsMax = 512;

std::string at(std::string_view name, std::size_t index) {
  return std::string(name) + "[" + std::to_string(index) + "]";
}

// Both spellings of an image: {"image_url": {"url": U}} and {"image_url": U}.
bool is_data_url(const json::Value& part) {
  const json::Value* url = part.find("image_url");
  if (url != nullptr && url->is_object()) url = url->find("url");
  return url == nullptr || !url->is_string() || url->as_string().rfind("data:", 0) == 0;
}

// Text of one content part; nothing after a failure.
std::optional<std::string> part_text(const json::Value& part, const std::string& path,
                                     Fields& fields) {
  if (!part.is_object()) {
    fields.fail(invalid_value(path, "Invalid type for '" + path + "': expected an object."));
    return std::nullopt;
  }
  Fields inner(part.as_object(), path);
  const std::string type = inner.string("type", 64).value_or("");
  std::optional<std::string> text;
  if (type == "text" || type == "refusal") {
    text = inner.string(type, std::size_t{64} << 20);
    if (!text) inner.fail(missing_parameter(path + "." + type));
  } else if (type == "image_url" && !is_data_url(part)) {
    ApiError error = invalid_value(path + ".image_url", "Only data: URLs are taken for images.");
    error.code = "media_url_not_allowed";
    inner.fail(std::move(error));
  } else if (type == "image_url" || type == "input_audio" || type == "file") {
    ApiError error =
        invalid_value(path + ".type", "This model does not take content of type '" + type + "'.");
    error.code = "unsupported_content";
    inner.fail(std::move(error));
  } else {
    inner.fail(invalid_value(path + ".type",
                             "Invalid value for '" + path + ".type': unknown type of content."));
  }
  if (inner.error()) fields.fail(*inner.error());
  return text;
}

// Parts are joined by a line break: most templates take text only.
std::optional<std::string> content_text(const json::Value& content, const std::string& path,
                                        Fields& fields) {
  if (content.is_string()) return content.as_string();
  if (!content.is_array() || content.as_array().size() > kPartsMax) {
    fields.fail(invalid_value(
        path, "Invalid type for '" + path + "': expected a string or an array of parts."));
    return std::nullopt;
  }
  std::string out;
  for (std::size_t i = 0; i < content.as_array().size(); ++i) {
    const auto text = part_text(content.as_array()[i], at(path, i), fields);
    if (!text) return std::nullopt;
    if (i > 0) out += '\n';
    out += *text;
  }
  return out;
}

std::optional<json::Object> tool_call(const json::Value& call, const std::string& path,
                                      Fields& fields) {
  const json::Value* function = call.find("function");
  const json::Value* name = function == nullptr ? nullptr : function->find("name");
  if (name == nullptr || !name->is_string()) {
    fields.fail(invalid_value(
        path, "Invalid value for '" + path + "': a tool call needs a function with a name."));
    return std::nullopt;
  }
  json::Object out = call.as_object();
  json::Object inner = function->as_object();
  // Some clients give the object itself.
  if (const json::Value* arguments = inner.find("arguments");
      arguments != nullptr && !arguments->is_string()) {
    inner.set("arguments", json::write(*arguments));
  }
  if (!out.contains("type")) out.set("type", "function");
  out.set("function", std::move(inner));
  return out;
}

void copy_tool_calls(Fields& message, json::Object& out) {
  json::Array calls;
  if (const json::Array* given = message.array("tool_calls", 0, kToolCallsMax)) {
    for (std::size_t i = 0; i < given->size(); ++i) {
      auto call = tool_call((*given)[i], at(message.path("tool_calls"), i), message);
      if (!call) return;
      calls.emplace_back(std::move(*call));
    }
  } else if (const json::Object* older = message.object("function_call")) {
    auto call = tool_call(json::Object{{"type", "function"}, {"function", *older}},
                          message.path("function_call"), message);
    if (!call) return;
    calls.emplace_back(std::move(*call));
  }
  if (!calls.empty()) out.set("tool_calls", std::move(calls));
}

std::string template_role(Fields& message) {
  const auto role = message.string("role", 64);
  if (!role) {
    message.fail(missing_parameter(message.path("role")));
    return {};
  }
  if (*role == "developer") return "system";
  if (*role == "function") return "tool";
  for (const std::string_view known : {"system", "user", "assistant", "tool"}) {
    if (*role == known) return *role;
  }
  message.fail(invalid_value(message.path("role"),
                             "Invalid value for '" + message.path("role") +
                                 "': one of system, developer, user, assistant, tool, function."));
  return {};
}

std::optional<json::Object> parse_message(const json::Value& value, std::size_t index,
                                          Fields& fields) {
  const std::string path = at("messages", index);
  if (!value.is_object()) {
    fields.fail(invalid_value(path, "Invalid type for '" + path + "': expected an object."));
    return std::nullopt;
  }
  Fields message(value.as_object(), path);
  json::Object out;
  const std::string role = template_role(message);
  out.set("role", role);
  if (role == "assistant") copy_tool_calls(message, out);
  if (const json::Value* content = message.find("content")) {
    out.set("content", content_text(*content, message.path("content"), message).value_or(""));
  } else if (role == "assistant") {
    out.set("content", "");
  } else {
    message.fail(missing_parameter(message.path("content")));
  }
  for (const char* name : {"name", "tool_call_id", "reasoning_content"}) {
    if (auto text = message.string(name, std::size_t{64} << 20)) out.set(name, std::move(*text));
  }
  if (auto text = message.string("reasoning", std::size_t{64} << 20);
      text && !out.contains("reasoning_content")) {
    out.set("reasoning_content", std::move(*text));
  }
  if (message.error()) {
    fields.fail(*message.error());
    return std::nullopt;
  }
  return out;
}

// The function that a tool or a choice of one names; empty: none.
std::string_view tool_name(const json::Value& tool) {
  const json::Value* type = tool.find("type");
  const json::Value* function = tool.find("function");
  const json::Value* name = function == nullptr ? nullptr : function->find("name");
  if (type == nullptr || *type != json::Value("function") || name == nullptr || !name->is_string())
    return {};
  return name->as_string();
}

void check_tool(const json::Value& tool, std::size_t index, std::set<std::string>& names,
                Fields& fields) {
  const std::string path = at("tools", index);
  const json::Value* type = tool.find("type");
  if (type == nullptr || !type->is_string() || type->as_string() != "function") {
    fields.fail(invalid_value(
        path + ".type", "Invalid value for '" + path + ".type': only 'function' is supported."));
    return;
  }
  const json::Value* function = tool.find("function");
  const json::Value* name = function == nullptr ? nullptr : function->find("name");
  if (name == nullptr || !name->is_string() || name->as_string().empty() ||
      name->as_string().size() > 256) {
    fields.fail(missing_parameter(path + ".function.name"));
    return;
  }
  if (!names.insert(name->as_string()).second) {
    fields.fail(invalid_value(path + ".function.name",
                              "Invalid value for 'tools': two functions have the same name."));
  }
}

// tools, or the older `functions` turned into tools.
json::Value parse_tools(Fields& fields) {
  json::Array out;
  if (const json::Array* tools = fields.array("tools", 0, kToolsMax)) {
    out = *tools;
  } else if (const json::Array* functions = fields.array("functions", 0, kToolsMax)) {
    for (const json::Value& function : *functions) {
      out.emplace_back(json::Object{{"type", "function"}, {"function", function}});
    }
  }
  std::set<std::string> names;
  for (std::size_t i = 0; i < out.size(); ++i) check_tool(out[i], i, names, fields);
  if (out.empty()) return nullptr;
  if (json::write(out).size() > kToolBytesMax) {
    fields.fail(
        invalid_value("tools", "Invalid value for 'tools': the schemas are larger than 1 MiB."));
  }
  return out;
}

bool has_function(const json::Value& tools, std::string_view name) {
  if (!tools.is_array()) return false;
  return std::any_of(tools.as_array().begin(), tools.as_array().end(),
                     [&](const json::Value& tool) { return tool_name(tool) == name; });
}

// tool_choice, or the older function_call in its form. Null where there is nothing to choose from.
json::Value parse_tool_choice(Fields& fields, const json::Value& tools) {
  const std::string field = fields.has("tool_choice") ? "tool_choice" : "function_call";
  const json::Value* choice = fields.find(field);
  if (choice == nullptr) return nullptr;
  const bool older = field == "function_call";
  if (*choice == json::Value("none") || *choice == json::Value("auto"))
    return tools.is_null() ? json::Value() : *choice;
  const bool required = !older && *choice == json::Value("required");
  json::Value named = older && choice->is_object()
                          ? json::Value(json::Object{{"type", "function"}, {"function", *choice}})
                          : *choice;
  const std::string_view name = tool_name(named);
  if (!required && name.empty()) {
    fields.fail(invalid_value(field, "Invalid value for '" + field + "'."));
  } else if (tools.is_null()) {
    fields.fail(invalid_value(field, "Invalid value for '" + field + "': there are no tools."));
  } else if (!required && !has_function(tools, name)) {
    fields.fail(invalid_value(field, "Invalid value for '" + field + "': no tool has that name."));
  }
  if (required) return *choice;
  return json::Object{{"type", "function"}, {"function", json::Object{{"name", name}}}};
}

json::Object template_arguments(Fields& fields) {
  json::Object out;
  if (auto effort = fields.string("reasoning_effort", 64))
    out.set("reasoning_effort", std::move(*effort));
  const json::Object* given = fields.object("chat_template_kwargs");
  if (given == nullptr) return out;
  for (const auto& [key, value] : *given) {
    const bool scalar = value.is_bool() || value.is_string() || value.is_int();
    if ((key != "enable_thinking" && key != "thinking" && key != "reasoning_effort") || !scalar) {
      fields.fail(unsupported_parameter(
          "chat_template_kwargs",
          "Only enable_thinking, thinking and reasoning_effort may be given to the template."));
      return out;
    }
    out.set(key, value);
  }
  return out;
}

}  // namespace

std::optional<backend::ChatPrompt> parse_chat_prompt(Fields& fields) {
  if (!fields.has("messages")) {
    fields.fail(missing_parameter("messages"));
    return std::nullopt;
  }
  const json::Array* messages = fields.array("messages", 1, kMessagesMax);
  if (messages == nullptr) return std::nullopt;
  json::Array out;
  out.reserve(messages->size());
  for (std::size_t i = 0; i < messages->size(); ++i) {
    auto message = parse_message((*messages)[i], i, fields);
    if (!message) return std::nullopt;
    out.emplace_back(std::move(*message));
  }
  backend::ChatPrompt prompt;
  prompt.messages = std::move(out);
  prompt.tools = parse_tools(fields);
  prompt.tool_choice = parse_tool_choice(fields, prompt.tools);
  prompt.parallel_tool_calls = fields.boolean("parallel_tool_calls");
  prompt.template_arguments = template_arguments(fields);
  return prompt;
}

}  // namespace holdfast::gateway
