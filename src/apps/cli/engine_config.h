// From settings and the machine to the configuration of an engine child.
#pragma once

#include <string>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

// What the type of a setting cannot say: kInvalidArgument for a list of processors that this
// process may not use.
Status check_engine_settings(const config::Settings& settings);
// What every engine is started with. The child is jailed and cannot look at the machine itself.
json::Object engine_config(const Context& context);
// The texts of the files of models.shared_prompts, for a server's engines. kNotFound, kIo,
// kInvalidArgument for what is no text or above its limit; the message names the file.
Result<json::Array> shared_prompts(const config::Settings& settings);
// The model that guesses ahead: NAME where engine.speculation is draft:NAME, else empty.
std::string draft_model(const Context& context);
// The program holdfast-engine, beside the running one. kNotFound with a hint.
Result<std::string> engine_program();

}  // namespace holdfast::cli
