// The questions of `plan interview`, and the document that the answers make.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

// Where answers come from and words go to: a terminal, a pipe, a test.
struct Conversation {
  // Shows the prompt and gives a line; nullopt at the end of input.
  std::function<Result<std::optional<std::string>>(const std::string& prompt)> ask;
  std::function<void(const std::string& text)> say;
};

// What the interview may name.
struct InterviewFacts {
  std::vector<std::string> models;   // that the planner or the store knows
  std::vector<std::string> devices;  // ids
  std::string default_model = "llama-3.1-8b";
  bool portuguese = false;
};

// Asks all questions: an empty line takes the default, "?" explains, "back" ("voltar") returns to
// the question before, an answer that makes no sense is asked for again with the reason. The
// document has the sections of a plan. kCancelled at the end of input; errors of `ask`.
Result<json::Object> interview(const InterviewFacts& facts, const Conversation& talk);

// Sections as TOML, for a file that `plan --workload` reads. Precondition: a document of
// interview().
std::string interview_toml(const json::Object& document);

}  // namespace holdfast::cli
