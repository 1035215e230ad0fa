#include "seal_run.h"

#include "seal_variant.h"

namespace holdfast::importer {

Result<ResealResult> run_seal_child(ChildRun run, ResealRequest request, PackKeys* keys,
                                    const vault::ModelId& model, const platform::OpenFile& out) {
  PackKeys::NewKey key;
  if (keys != nullptr) {
    HF_TRY_ASSIGN(key, keys->new_key(model));
    request.created = now_unix_seconds();
  }
  request.source_sealed = run.source_keys >= 0;
  run.mode = "reseal";
  run.output = out.fd();
  run.key = key.message.get();
  run.request_json = encode_reseal_request(request);
  HF_TRY_ASSIGN(const std::string text, run_child(run));
  HF_TRY_ASSIGN(const ResealResult result, decode_reseal_result(text));
  if (keys != nullptr) HF_TRY(fill_first_slot(out, key.slot));
  return result;
}

}  // namespace holdfast::importer
