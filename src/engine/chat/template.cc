#include "holdfast/chat/template.h"

namespace holdfast::chat {

struct Program {};

std::string Rendered::text() const {
  std::string out;
  for (const Piece& piece : pieces) out += piece.text;
  return out;
}

bool raised_by_template(const Error& error) {
  return error.detail().find("raise_exception") != std::string::npos;
}

Result<Template> Template::parse(std::string_view /*source*/, const Limits& /*limits*/) {
  return Template(std::make_shared<const Program>());
}

Result<Rendered> Template::render(const RenderInput& /*input*/) const {
  return unsupported("chat templates are not there yet");
}

}  // namespace holdfast::chat
