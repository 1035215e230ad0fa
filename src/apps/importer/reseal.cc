#include "holdfast/importer/reseal.h"

#include "child_run.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/clock.h"
#include "holdfast/vault/pack_slots.h"

namespace holdfast::importer {

Status reseal_pack(platform::OpenFile& out, const ResealOptions& options) {
  ChildRun run;
  run.program = options.engine_program;
  run.mode = "seal";
  run.inputs = {options.source->fd()};
  if (options.source_keys.valid()) run.inputs.push_back(options.source_keys.get());
  run.output = out.fd();
  run.key = options.data_key.get();
  run.request_json = json::write(
      json::Object{{"created", platform::unix_seconds(platform::system_clock().wall_time())}});
  run.name = "sealing";
  run.cancel = options.cancel;
  run.on_progress = options.on_progress;
  HF_TRY(run_child(run));
  // The child wrote it, so its length is asked anew.
  HF_TRY_ASSIGN(platform::UniqueFd fd, platform::duplicate(out));
  HF_TRY_ASSIGN(platform::File file, platform::File::from_fd(std::move(fd)));
  vault::WrapSlots slots;
  slots[0] = options.slot;
  return vault::rewrite_wrap_slots(file, slots);
}

}  // namespace holdfast::importer
