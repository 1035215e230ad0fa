// Parsing, suggestions, exit statuses and error form, in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/cli/cli.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};

Outcome run_cli(const std::vector<std::string>& arguments, config::Environment environment = {}) {
  environment.try_emplace("HOME", testing::TempDir());
  environment.try_emplace("HOLDFAST_DATA_DIR", testing::TempDir() + "/holdfast-cli-test");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome o;
  o.status = run(arguments, environment);
  o.out = testing::internal::GetCapturedStdout();
  o.err = testing::internal::GetCapturedStderr();
  return o;
}

TEST(Cli, HelpOfEveryCommand) {
  for (const char* command :
       {"run",        "chat",    "serve",  "import",   "ls",      "show",  "rm",     "cp",
        "ps",         "load",    "unload", "tokenize", "eval",    "bench", "doctor", "config",
        "completion", "version", "list",   "stop",     "inspect", "info",  "key"}) {
    const Outcome o = run_cli({command, "--help"});
    EXPECT_EQ(o.status, 0) << command;
    EXPECT_THAT(o.out, HasSubstr("Usage: holdfast ")) << command;
    EXPECT_THAT(o.err, IsEmpty()) << command;
  }
}

TEST(Cli, NoArgumentsIsHelp) {
  const Outcome o = run_cli({});
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(o.out, HasSubstr("Subcommands:"));
}

TEST(Cli, NestedHelpNamesItsPath) {
  EXPECT_THAT(run_cli({"eval", "tokens", "--help"}).out, HasSubstr("Usage: holdfast eval tokens"));
}

TEST(Cli, MistypedCommand) {
  const Outcome o = run_cli({"sevre"});
  EXPECT_EQ(o.status, 2);
  EXPECT_EQ(o.err, "error: unknown command 'sevre'\nhint: did you mean 'serve'?\n");
  EXPECT_THAT(o.out, IsEmpty());
}

TEST(Cli, MistypedNestedCommand) {
  const Outcome o = run_cli({"eval", "tokns", "m"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, StartsWith("error: unknown command 'eval tokns'"));
  EXPECT_THAT(o.err, HasSubstr("'eval tokens'"));
}

TEST(Cli, WordUnlikeAnyCommand) {
  const Outcome o = run_cli({"frobnicate"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("holdfast --help"));
}

TEST(Cli, MistypedFlag) {
  const Outcome o = run_cli({"ls", "--quite"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("unknown flag --quite"));
  EXPECT_THAT(o.err, HasSubstr("did you mean --quiet?"));
}

TEST(Cli, MissingArgument) {
  const Outcome o = run_cli({"show"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("MODEL is required"));
  EXPECT_THAT(o.err, HasSubstr("holdfast show --help"));
}

TEST(Cli, UnexpectedArgument) {
  const Outcome o = run_cli({"ls", "extra"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("unexpected argument 'extra'"));
}

TEST(Cli, NumberOutOfRange) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--temperature", "2.5"},
                                             {"--temperature", "-1"},
                                             {"--temperature", "warm"},
                                             {"--max-tokens", "-5"},
                                             {"--max-tokens", "0"},
                                             {"--top-p", "1.1"},
                                             {"--threads", "100000"}}) {
    std::vector<std::string> arguments = {"run", "model", "hello"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome o = run_cli(arguments);
    EXPECT_EQ(o.status, 2) << flags[0] << " " << flags[1];
    EXPECT_THAT(o.err, StartsWith("error: ")) << flags[0] << " " << flags[1];
  }
}

TEST(Cli, UnknownModelIsNotFound) {
  const Outcome o = run_cli({"show", "no-such-model"});
  EXPECT_EQ(o.status, 3);
  EXPECT_THAT(o.err, HasSubstr("no-such-model"));
}

TEST(Cli, MissingFileIsNotFound) {
  EXPECT_EQ(run_cli({"import", "/nonexistent/model.gguf"}).status, 3);
}

TEST(Cli, ErrorAsJson) {
  const Outcome o = run_cli({"--json", "show", "no-such-model"});
  EXPECT_EQ(o.status, 3);
  const auto parsed = json::parse(o.err);
  ASSERT_TRUE(parsed.ok()) << o.err;
  const json::Value* error = parsed->find("error");
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->find("code")->as_string(), "not_found");
  EXPECT_NE(error->find("message"), nullptr);
  EXPECT_NE(error->find("hint"), nullptr);
  EXPECT_NE(error->find("request_id"), nullptr);
}

TEST(Cli, AddressThatOthersCouldReachIsRefused) {
  for (const char* address : {"0.0.0.0:8080", "[::]:8080", "192.168.1.2:80", "example.org:80",
                              "127.0.0.1.example.org:80"}) {
    const Outcome o = run_cli({"serve", "--listen", address});
    EXPECT_EQ(o.status, 2) << address;
    EXPECT_THAT(o.err, HasSubstr("hint: ")) << address;
  }
  EXPECT_EQ(run_cli({"serve", "--listen", "8080"}).status, 2);
}

TEST(Cli, UnknownSettingSuggestsTheNearest) {
  const Outcome o = run_cli({"config", "show", "--engine.threds", "2"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("did you mean --engine.threads?"));
}

TEST(Cli, FlagOfASettingWins) {
  const Outcome o = run_cli({"config", "show", "--engine.threads", "3", "--json"},
                            {{"HOLDFAST_ENGINE_THREADS", "2"}});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("flag --engine.threads"));
}

TEST(Cli, ProcessorsThatCannotBeUsedAreRefused) {
  for (const char* list : {"", "all", "0-", "0,0", "65535"}) {
    const Outcome o = run_cli({"config", "show", "--engine.affinity", list});
    EXPECT_EQ(o.status, 2) << list;
    EXPECT_THAT(o.err, HasSubstr("engine.affinity")) << list;
  }
  for (const char* good : {"auto", "off"}) {
    EXPECT_EQ(run_cli({"config", "show", "--engine.affinity", good}).status, 0) << good;
  }
}

TEST(Cli, ServerThatIsNotThereIsUnavailable) {
  const Outcome o = run_cli({"ps", "--host", "unix:/nonexistent/holdfast.sock"});
  EXPECT_EQ(o.status, 7);
  EXPECT_THAT(o.err, HasSubstr("holdfast serve"));
  EXPECT_EQ(run_cli({"doctor", "--health", "--host", "unix:/nonexistent/x.sock"}).status, 1);
}

TEST(Cli, NoEscapeCodesWithoutATerminal) {
  for (const char* command : {"ls", "version", "doctor", "config"}) {
    const Outcome o = run_cli({command});
    EXPECT_THAT(o.out + o.err, Not(HasSubstr("\x1b["))) << command;
  }
}

TEST(Cli, CompletionNamesTheCommands) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome o = run_cli({"completion", shell});
    EXPECT_EQ(o.status, 0);
    EXPECT_THAT(o.out, HasSubstr("tokenize"));
  }
  EXPECT_EQ(run_cli({"completion", "tcsh"}).status, 2);
}

}  // namespace
}  // namespace holdfast::cli
