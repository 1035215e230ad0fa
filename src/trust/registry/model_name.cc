#include "holdfast/registry/model_name.h"

#include <algorithm>

namespace holdfast::registry {
namespace {

constexpr std::size_t kComponentBytesMax = 96;
constexpr std::size_t kTagBytesMax = 64;
constexpr std::size_t kComponentsMax = 3;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_word(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && is_alnum(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

Error malformed(std::string_view text) {
  return invalid_argument("\"" + std::string(text.substr(0, 100)) + "\" is not a model name")
      .with_hint("A name is letters, digits, '.', '_' and '-', with an optional tag: name:tag.");
}

}  // namespace

Result<ModelName> parse_model_name(std::string_view text) {
  ModelName name;
  std::string_view rest = text;
  if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    name.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  if (!is_word(name.tag, kTagBytesMax)) return malformed(text);
  name.name = rest;
  std::size_t components = 0;
  while (true) {
    const std::size_t slash = rest.find('/');
    if (!is_word(rest.substr(0, slash), kComponentBytesMax)) return malformed(text);
    if (++components > kComponentsMax) return malformed(text);
    if (slash == std::string_view::npos) return name;
    rest = rest.substr(slash + 1);
  }
}

std::string model_name_from_file(std::string_view file_name) {
  if (const std::size_t slash = file_name.rfind('/'); slash != std::string_view::npos) {
    file_name = file_name.substr(slash + 1);
  }
  if (file_name.ends_with(".gguf")) file_name.remove_suffix(5);
  std::string name;
  for (const char c : file_name) {
    if (name.size() == kComponentBytesMax) break;
    if (is_alnum(c)) {
      name.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    } else if (!name.empty() && is_alnum(name.back())) {
      name.push_back(c == '.' || c == '_' ? c : '-');
    }
  }
  while (!name.empty() && !is_alnum(name.back())) name.pop_back();
  return name.empty() ? "model" : name;
}

}  // namespace holdfast::registry
