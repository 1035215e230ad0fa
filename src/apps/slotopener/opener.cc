#include "holdfast/slotopener/opener.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "holdfast/jail/egress.h"
#include "holdfast/jail/jail.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/keyring/passphrase_cost.h"
#include "holdfast/keyring/recovery_code.h"
#include "holdfast/keyring/root_key.h"
#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/huge_memory.h"
#include "request.h"

namespace holdfast::slotopener {
namespace {

using keyring::FactorKey;
using keyring::FactorKind;

constexpr auto kPatience = std::chrono::seconds(30);

platform::Deadline deadline() { return platform::Deadline::after(kPatience); }

Result<Request> parse(std::span<const std::string> arguments) {
  if (arguments.size() != 5) return invalid_argument("wrong number of arguments");
  Request request;
  request.enrol = arguments[0] == "enrol";
  if (!request.enrol && arguments[0] != "open") return invalid_argument("unknown verb");
  const auto kind = keyring::find_factor_kind(arguments[1]);
  if (!kind) return invalid_argument("unknown kind of slot");
  request.kind = *kind;
  HF_TRY_ASSIGN(const Bytes slot, from_hex(arguments[2]));
  if (slot.size() != request.slot.size()) return invalid_argument("bad slot id");
  std::copy(slot.begin(), slot.end(), request.slot.begin());
  if (request.enrol) {
    request.hint = arguments[3];
  } else {
    HF_TRY_ASSIGN(request.params, from_hex(arguments[3]));
  }
  request.device = arguments[4];
  struct stat unused {};
  request.has_secret = ::fstat(kSecretFd, &unused) == 0;
  return request;
}

Result<crypto::Secret> read_passphrase() {
  HF_TRY_ASSIGN(const crypto::Secret text, read_line("passphrase"));
  return keyring::normalize_passphrase(text.view());
}

Result<crypto::Argon2Cost> parse_cost(const std::string& hint) {
  crypto::Argon2Cost cost;
  if (std::sscanf(hint.c_str(), "%u,%u,%u", &cost.memory_kib, &cost.passes, &cost.lanes) != 3)
    return invalid_argument("bad cost of a passphrase");
  cost.memory_kib =
      std::clamp(cost.memory_kib, keyring::kArgon2MemoryKibMin, keyring::kArgon2MemoryKibMax);
  cost.passes = std::clamp(cost.passes, keyring::kArgon2PassesMin, keyring::kArgon2PassesMax);
  return cost;
}

Result<Opened> passphrase(const Request& request) {
  HF_TRY_ASSIGN(const crypto::Secret text, read_passphrase());
  keyring::PassphraseParams params;
  if (request.enrol) {
    HF_TRY_ASSIGN(const crypto::Argon2Cost wanted, parse_cost(request.hint));
    HF_TRY_ASSIGN(params.cost, keyring::calibrate(wanted, keyring::measure_cost));
    HF_TRY(platform::fill_random(params.salt));
  } else {
    HF_TRY_ASSIGN(params, keyring::decode_passphrase_params(request.params));
  }
  HF_TRY_ASSIGN(crypto::Secret key, crypto::argon2id(text.view(), params.salt, params.cost));
  return Opened{FactorKey(std::move(key)), keyring::encode_params(params)};
}

Result<Opened> pbkdf2(const Request& request) {
  HF_TRY_ASSIGN(const crypto::Secret text, read_passphrase());
  keyring::Pbkdf2Params params;
  if (request.enrol) {
    HF_TRY(platform::fill_random(params.salt));
  } else {
    HF_TRY_ASSIGN(params, keyring::decode_pbkdf2_params(request.params));
  }
  HF_TRY_ASSIGN(crypto::Secret key,
                crypto::pbkdf2_sha256(text.view(), params.salt, params.iterations));
  return Opened{FactorKey(std::move(key)), keyring::encode_params(params)};
}

// A key file or a credential: the whole content is the secret.
Result<Opened> content(const Request& request) {
  HF_TRY_ASSIGN(const crypto::Secret secret,
                keyholder::read_secret(kSecretFd, kKeyFileBytesMax, deadline()));
  HF_TRY_ASSIGN(FactorKey key, keyring::derive_factor_key(request.kind, secret, request.slot));
  return Opened{std::move(key),
                request.enrol ? keyring::encode_text_params(request.hint) : Bytes()};
}

Result<Opened> open(const Request& request) {
  switch (request.kind) {
    case FactorKind::kPassphrase:
      return passphrase(request);
    case FactorKind::kPbkdf2:
      return pbkdf2(request);
    case FactorKind::kCredential:
    case FactorKind::kFile:
      return content(request);
    case FactorKind::kTpm2:
      return use_tpm(request);
    case FactorKind::kPkcs11:
      return use_token(request);
  }
  return unsupported("this build cannot open slots of that kind");
}

Status close_jail(std::vector<int> keep_fds) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kKeyHolder;
  profile.keep_fds = std::move(keep_fds);
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(profile));
  return ok_status();
}

bool has_device(FactorKind kind) {
  return kind == FactorKind::kTpm2 || kind == FactorKind::kPkcs11;
}

Result<Bytes> run(std::span<const std::string> arguments) {
  HF_TRY_ASSIGN(const Request request, parse(arguments));
  if (!has_device(request.kind)) {
    HF_TRY(harden());
    HF_TRY(confine(-1));
  }
  HF_TRY_ASSIGN(Opened opened, open(request));
  HF_TRY(keyholder::send_secret(kKeyFd, opened.key.view(), deadline()));
  return request.enrol ? std::move(opened.params) : Bytes();
}

}  // namespace

Result<crypto::Secret> read_line(std::string_view what) {
  HF_TRY_ASSIGN(const crypto::Secret text,
                keyholder::read_secret(kSecretFd, kPassphraseBytesMax, deadline()));
  ByteView view = text.view();
  while (!view.empty() && (view.back() == std::byte{'\n'} || view.back() == std::byte{'\r'}))
    view = view.first(view.size() - 1);
  if (view.empty()) return invalid_argument("the " + std::string(what) + " is empty");
  return crypto::Secret::copy_of(view);
}

Status harden() {
  platform::raise_locked_memory_limit();
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return ok_status();
  return unsupported("this system cannot forbid new privileges");
}

Status confine(int device_fd) {
  std::vector<int> keep{kReplyFd, kKeyFd, kSecretFd};
  if (device_fd >= 0) keep.push_back(device_fd);
  return close_jail(std::move(keep));
}

int run_opener(std::span<const std::string> arguments) {
  const Result<Bytes> result = run(arguments);
  const Status told =
      keyholder::send_frame(kReplyFd, keyholder::encode_reply(result), -1, deadline());
  if (!told.ok()) return error_code_exit_status(told.error().code());
  return result.ok() ? 0 : error_code_exit_status(result.error().code());
}

int probe_opener(std::string_view attempt, std::string_view targets) {
  return jail::answer_egress_probe(attempt, targets, [](std::vector<int> keep_fds) {
    return harden().ok() && close_jail(std::move(keep_fds)).ok();
  });
}

}  // namespace holdfast::slotopener
