// `holdfast plan fit`: does a model fit here, or on a device that somebody thinks of buying.
#include "../plan_fit.h"
#include "../output.h"
#include "../plan_text.h"
#include "holdfast/base/units.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

double number(const json::Value& v, const char* key) {
  const json::Value* found = v.find(key);
  return found != nullptr && found->is_number() ? found->as_double() : 0;
}

std::string text(const json::Value& v, const char* key) {
  const json::Value* found = v.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : "";
}

bool flag(const json::Value& v, const char* key) {
  const json::Value* found = v.find(key);
  return found != nullptr && found->is_bool() && found->as_bool();
}

std::string size_text(const json::Value& v, const char* key) {
  return format_bytes(static_cast<std::uint64_t>(number(v, key)));
}

std::string band_text(const json::Value& speed, const char* key) {
  const json::Value* b = speed.find(key);
  if (b == nullptr) return "-";
  return short_number(number(*b, "p50")) + " tokens/s (" + short_number(number(*b, "p10")) +
         " to " + short_number(number(*b, "p90")) + ")";
}

void print_memory(const json::Value& answer) {
  const json::Value& m = *answer.find("memory");
  print("  weights " + size_text(m, "weights_bytes") + ", keys and values " +
        size_text(m, "kv_bytes") + ", work space " + size_text(m, "workspace_bytes") + " of " +
        size_text(m, "limit_bytes") + "\n");
  if (number(m, "peak_bytes") > 0)
    print("  peak of the process " + size_text(m, "peak_bytes") + "\n");
}

void print_answer(const json::Value& answer) {
  const bool fits = flag(answer, "fits");
  const std::string place = flag(answer, "here") ? "this machine (" + text(answer, "device") + ")"
                                                 : text(answer, "device");
  print(text(answer, "model") + " (" + text(answer, "quant") + ") " +
        (fits ? "fits" : "does not fit") + " on " + place + " with " +
        fixed(number(answer, "context"), 0) + " tokens of context, " +
        fixed(number(answer, "parallel"), 0) + " at the same time\n");
  if (!fits) print("  " + text(answer, "reason") + "\n");
  print_memory(answer);
  const json::Value& most = *answer.find("largest");
  print("  at most: " + fixed(number(most, "context"), 0) + " tokens of context, or " +
        fixed(number(most, "parallel"), 0) + " at the same time\n");
  const json::Value& speed = *answer.find("speed");
  print("  answers " + band_text(speed, "decode_tps") + ", all together " +
        band_text(speed, "total_decode_tps") + "\n");
  print("  prompts " + band_text(speed, "prefill_tps") + "\n");
  print("  rates: " + text(speed, "class") + "\n");
  if (flag(answer, "estimated")) print("  sizes of the model are estimated\n");
  Table table({"QUANT", "WEIGHTS", "FITS", "LARGEST CONTEXT"});
  for (const json::Value& q : answer.find("quants")->as_array())
    table.add({text(q, "quant"), size_text(q, "weights_bytes"), flag(q, "fits") ? "yes" : "no",
               fixed(number(q, "largest_context"), 0)});
  print("\n" + table.render(terminal_width()));
}

}  // namespace

void add_plan_fit(Registrar& r, CLI::App& plan) {
  CLI::App& c = add_plan_leaf(plan, "fit",
                              "Does a model fit on this machine, or on a device of the planner's "
                              "table; what would; how fast it is");
  auto question = std::make_shared<FitQuestion>();
  c.add_option("MODEL", question->model,
               "A model of the store, one that the planner knows, a GGUF file or a config.json")
      ->required();
  c.add_option("--context", question->context, "Tokens of a sequence; without it the most")
      ->check(CLI::Range(1, 1 << 27));
  c.add_option("--parallel", question->parallel, "Sequences at the same time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  c.add_option("--device", question->device, "A device by its id, in place of this machine")
      ->type_name("ID");
  r.bind(c, [question](Context& context) -> Status {
    HF_TRY_ASSIGN(const json::Object answer, answer_fit(context, *question));
    if (context.format() == Format::kYaml) {
      print(to_yaml(answer));
    } else if (context.json()) {
      print_json(answer);
    } else {
      print_answer(answer);
    }
    return ok_status();
  });
}

}  // namespace holdfast::cli
