// The terminal chat of `holdfast run` and `holdfast chat`.
#pragma once

#include <memory>

#include "context.h"
#include "session.h"

namespace holdfast::cli {

// Reads lines and answers them until /bye or the end of input. Where standard input is no terminal,
// lines are read without a prompt. The error of the first model that cannot be loaded; later ones
// are printed and the chat goes on.
Status run_repl(Context& context, std::unique_ptr<Session> session, const AnswerFlags& flags);

}  // namespace holdfast::cli
