// `holdfast pull`.
#include "../command.h"
#include "../pull_model.h"

namespace holdfast::cli {

void add_pull(Registrar& r) {
  CLI::App& c =
      r.add("pull", "Fetch a model from a hub, a registry or a URL, and import it", {"get"});
  auto flags = std::make_shared<PullFlags>();
  c.add_option("SOURCE", flags->source,
               "org/repo[:QUANT], hf://org/repo[/file.gguf][@revision], ollama://name[:tag], "
               "oci://host/repo[:tag|@digest], https://...#sha256=..., file:///path")
      ->required();
  c.add_option("--name", flags->name, "Name in the store; without one it is made from the source")
      ->type_name("NAME[:TAG]");
  c.add_option("--revision", flags->revision, "Branch, tag or commit of a repository of the hub")
      ->type_name("REVISION");
  c.add_option("--template", flags->template_name,
               "Chat template to use: a bundled family or a file")
      ->type_name("NAME|FILE");
  c.add_option("--token-file", flags->token_file,
               "Token for the source, sent to nobody else; for the hub also HF_TOKEN")
      ->type_name("FILE");
  c.add_flag("--import-hf-cache", flags->hub_cache,
             "Take files from the cache of Hugging Face's tools where they are there already");
  r.bind(c, [flags](Context& context) { return pull_model(context, *flags); });
}

}  // namespace holdfast::cli
