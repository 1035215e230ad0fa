// `holdfast quantize`.
#include <atomic>
#include <chrono>

#include "../command.h"
#include "../engine_config.h"
#include "../interrupts.h"
#include "../output.h"
#include "holdfast/base/units.h"
#include "holdfast/importer/quantize.h"

namespace holdfast::cli {
namespace {

struct QuantizeFlags {
  std::string input;
  std::string output;
  std::string type;
  std::string imatrix;
  std::int64_t threads = 0;
  bool force = false;
};

std::string type_names() {
  std::string names;
  for (const std::string_view name : importer::quantize_type_names()) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

void report(const Context& context, const QuantizeFlags& f, const importer::QuantizeResult& r,
            double seconds) {
  if (r.requantized > 0) {
    notice(context, "warning: " + std::to_string(r.requantized) +
                        " tensors were quantised before; quality is lost twice. Start from F16, "
                        "BF16 or F32 where you can.");
  }
  if (r.fallbacks > 0) {
    notice(context, "note: " + std::to_string(r.fallbacks) +
                        " tensors have rows that are no multiple of 256 and got a type of about "
                        "the same size");
  }
  if (context.json()) {
    print_json_line(json::Object{{"input", f.input},
                                 {"output", f.output},
                                 {"type", r.type},
                                 {"tensors", r.tensors},
                                 {"encoded", r.encoded},
                                 {"fallbacks", r.fallbacks},
                                 {"requantized", r.requantized},
                                 {"weighted", r.weighted},
                                 {"bytes_in", r.bytes_in},
                                 {"bytes_out", r.bytes_out},
                                 {"seconds", seconds}});
  } else if (context.flags.quiet) {
    print(f.output + "\n");
  } else {
    print("wrote " + f.output + " (" + r.type + ", " + format_bytes(r.bytes_out) + " from " +
          format_bytes(r.bytes_in) + ", " + std::to_string(r.encoded) + " of " +
          std::to_string(r.tensors) + " tensors encoded, " + fixed(seconds, 1) + " s)\n");
  }
}

Status quantize(Context& context, const QuantizeFlags& f) {
  HF_TRY_ASSIGN(const std::unique_ptr<Interrupts> interrupts, Interrupts::create());
  std::atomic<bool> cancel = false;
  interrupts->set_handler([&cancel](int /*signal*/) { cancel = true; });
  importer::QuantizeOptions options;
  options.input = f.input;
  options.output = f.output;
  options.type = f.type;
  options.importance = f.imatrix;
  options.force = f.force;
  options.threads = static_cast<unsigned>(
      f.threads > 0 ? f.threads : engine_config(context).find("threads")->as_int());
  options.cancel = &cancel;
  HF_TRY_ASSIGN(options.engine_program, engine_program());
  const auto began = std::chrono::steady_clock::now();
  Progress bar(context, "quantizing");
  options.on_progress = [&bar](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
  };
  const auto result = importer::quantize_model(options);
  interrupts->set_handler({});
  if (cancel && interrupts->last() != 0) context.exit_status = 128 + interrupts->last();
  HF_TRY(result);
  bar.finish();
  report(context, f, *result,
         std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  return ok_status();
}

}  // namespace

void add_quantize(Registrar& r) {
  CLI::App& c = r.add("quantize", "Write a GGUF model file in another quantisation");
  auto flags = std::make_shared<QuantizeFlags>();
  c.add_option("IN", flags->input,
               "A GGUF file, one part of a split model, or a folder that holds one")
      ->required();
  c.add_option("OUT", flags->output, "The GGUF file to write")->required();
  c.add_option("--type", flags->type, "Type of the new file: " + type_names())
      ->type_name("TYPE")
      ->required();
  c.add_option("--imatrix", flags->imatrix,
               "Importance matrix in GGUF form, as `holdfast eval imatrix` makes it")
      ->type_name("FILE");
  c.add_option("--threads", flags->threads, "Threads; all cores without it")
      ->check(CLI::Range(1, 256));
  c.add_flag("--force", flags->force, "Replace OUT if it exists");
  r.bind(c, [flags](Context& context) { return quantize(context, *flags); });
}

}  // namespace holdfast::cli
