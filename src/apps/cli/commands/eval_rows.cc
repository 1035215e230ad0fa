#include "eval_rows.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>

#include "../output.h"
#include "holdfast/base/bytes.h"

namespace holdfast::cli {

Status for_each_row(const std::string& file, const std::function<Status(Result<json::Value>)>& fn) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) return not_found("the input file cannot be read", file);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  json::ParseLimits limits;
  limits.bytes_max = kEvalLineBytesMax;
  limits.depth_max = 128;
  limits.values_max = 16u << 20;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Result<json::Value> row = json::parse(line, limits);
    if (row.ok() && !row->is_object()) row = invalid_argument("the row is not a JSON object");
    HF_TRY(fn(std::move(row)));
  }
  return ok_status();
}

namespace {
json::Object with_id(const json::Value* row) {
  json::Object out;
  const json::Value* id = row == nullptr ? nullptr : row->find("id");
  if (id != nullptr) out.set("id", *id);
  return out;
}
}  // namespace

void RowPrinter::answer(const json::Value* row, json::Object fields) {
  json::Object out = with_id(row);
  for (const json::Member& m : fields) out.set(m.key, m.value);
  print_json_line(std::move(out));
}

void RowPrinter::error(const json::Value* row, const Error& error) {
  failed_ = true;
  std::string text = error.client_message();
  if (!error.detail().empty()) text += " (" + error.detail() + ")";
  answer(row, json::Object{{"error", std::move(text)}});
}

Result<std::vector<std::int32_t>> row_tokens(const json::Value& row, std::string_view key) {
  const json::Value* v = row.find(key);
  if (v == nullptr || !v->is_array())
    return invalid_argument(std::string(key) + " must be a list of token ids");
  std::vector<std::int32_t> out;
  out.reserve(v->as_array().size());
  for (const json::Value& id : v->as_array()) {
    if (!id.is_int() || id.as_int() < 0 || id.as_int() > std::numeric_limits<std::int32_t>::max()) {
      return invalid_argument(std::string(key) + " holds something that is no token id");
    }
    out.push_back(static_cast<std::int32_t>(id.as_int()));
  }
  return out;
}

Result<std::string> row_text(const json::Value& row) {
  if (const json::Value* v = row.find("text")) {
    if (!v->is_string()) return invalid_argument("text must be a string");
    return v->as_string();
  }
  const json::Value* v = row.find("text_b64");
  if (v == nullptr || !v->is_string())
    return invalid_argument("the row needs text, text_b64 or ids");
  HF_TRY_ASSIGN(const Bytes bytes, from_base64(v->as_string()));
  return std::string(as_string_view(bytes));
}

Result<bool> row_flag(const json::Value& row, std::string_view key, bool fallback) {
  const json::Value* v = row.find(key);
  if (v == nullptr || v->is_null()) return fallback;
  if (!v->is_bool()) return invalid_argument(std::string(key) + " must be true or false");
  return v->as_bool();
}

}  // namespace holdfast::cli
