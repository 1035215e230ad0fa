// /tokenize, /detokenize and /apply-template.
#include "gateway_impl.h"
#include "holdfast/base/utf8.h"

namespace holdfast::gateway {
namespace {

// As llama.cpp answers: text where the bytes are text, else the bytes.
json::Value piece_value(const std::string& piece) {
  if (is_valid_utf8(piece)) return piece;
  json::Array bytes;
  for (const char c : piece) bytes.emplace_back(static_cast<int>(static_cast<unsigned char>(c)));
  return bytes;
}

json::Object tokens_object(const backend::Tokenized& result, bool with_pieces) {
  json::Array out;
  for (std::size_t i = 0; i < result.tokens.size(); ++i) {
    if (with_pieces && i < result.pieces.size()) {
      out.emplace_back(
          json::Object{{"id", result.tokens[i]}, {"piece", piece_value(result.pieces[i])}});
    } else {
      out.emplace_back(result.tokens[i]);
    }
  }
  return {{"tokens", std::move(out)}};
}

struct Target {
  json::Object body;
  backend::ModelFacts model;
};

// Body and model of a route whose clients often serve one model and name none.
Parsed<Target> read_target(const Gateway::Impl& gateway, const http::Request& request) {
  auto body = parse_body(request.body, gateway.options.body_bytes_max);
  if (auto* error = std::get_if<ApiError>(&body)) return std::move(*error);
  Target out{std::move(std::get<json::Object>(body)), {}};
  Fields fields(out.body);
  refuse_routing_fields(out.body, fields);
  const std::string name = fields.string("model", 1024).value_or("");
  if (fields.error()) return *fields.error();
  const identity::Principal* caller = caller_of(request);
  auto model = gateway.find_model(caller, name, true);
  if (!model) return gateway.unknown_model(caller, name);
  out.model = std::move(*model);
  return out;
}

}  // namespace

void Gateway::Impl::tokenize(const RequestPtr& request, const WriterPtr& writer) {
  auto target = read_target(*this, *request);
  if (const auto* error = std::get_if<ApiError>(&target))
    return send_error(*request, *writer, *error);
  Target& read = std::get<Target>(target);
  Fields fields(read.body);
  backend::TokenizeRequest ask;
  ask.model = read.model.id;
  ask.add_special = fields.boolean("add_special").value_or(false);
  ask.with_pieces = fields.boolean("with_pieces").value_or(false);
  if (auto content = fields.string("content", options.body_bytes_max)) {
    ask.text = std::move(*content);
  } else {
    fields.fail(missing_parameter("content"));
  }
  if (fields.error()) return send_error(*request, *writer, *fields.error());
  const bool with_pieces = ask.with_pieces;
  env.backend.tokenize(std::move(ask), on_loop<backend::Tokenized>(
                                           shared_from_this(), request, writer, "content",
                                           [this, weak = std::weak_ptr(writer),
                                            with_pieces](const backend::Tokenized& result) {
                                             if (const auto open = weak.lock())
                                               send_json(*open, tokens_object(result, with_pieces));
                                           }));
}

void Gateway::Impl::detokenize(const RequestPtr& request, const WriterPtr& writer) {
  auto target = read_target(*this, *request);
  if (const auto* error = std::get_if<ApiError>(&target))
    return send_error(*request, *writer, *error);
  Target& read = std::get<Target>(target);
  const json::Value* value = read.body.find("tokens");
  if (value == nullptr || value->is_null())
    return send_error(*request, *writer, missing_parameter("tokens"));
  auto tokens = parse_tokens(*value);
  if (!tokens) {
    return send_error(
        *request, *writer,
        invalid_value("tokens", "Invalid value for 'tokens': an array of token ids."));
  }
  env.backend.detokenize(
      read.model.id, std::move(*tokens),
      on_loop<std::string>(shared_from_this(), request, writer, "tokens",
                           [this, weak = std::weak_ptr(writer)](const std::string& text) {
                             if (const auto open = weak.lock()) {
                               send_json(*open, json::Object{{"content", text}});
                             }
                           }));
}

void Gateway::Impl::apply_template(const RequestPtr& request, const WriterPtr& writer) {
  auto target = read_target(*this, *request);
  if (const auto* error = std::get_if<ApiError>(&target))
    return send_error(*request, *writer, *error);
  Target& read = std::get<Target>(target);
  Fields fields(read.body);
  auto prompt = parse_chat_prompt(fields);
  if (fields.error()) return send_error(*request, *writer, *fields.error());
  env.backend.render(
      read.model.id, std::move(*prompt),
      on_loop<std::string>(shared_from_this(), request, writer, "messages",
                           [this, weak = std::weak_ptr(writer)](const std::string& text) {
                             if (const auto open = weak.lock()) {
                               send_json(*open, json::Object{{"prompt", text}});
                             }
                           }));
}

}  // namespace holdfast::gateway
