#include "seal_secrets.h"

#include "holdfast/custody/slot_keys.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/hidden_input.h"

namespace holdfast::cli {

namespace {

constexpr std::size_t kSecretBytesMax = 1024;
constexpr auto kReadPatience = std::chrono::seconds(60);

Result<crypto::Secret> read_file_secret(const std::string& path,
                                        std::size_t bytes_max = kSecretBytesMax) {
  const auto deadline = platform::Deadline::after(kReadPatience);
  if (path == "-") return keyholder::read_secret(0, bytes_max, deadline);
  HF_TRY_ASSIGN(const platform::UniqueFd fd, platform::open_for_reading(path));
  auto secret = keyholder::read_secret(fd.get(), bytes_max, deadline);
  if (!secret.ok()) return std::move(secret).error().add_context(path);
  return secret;
}

Result<crypto::Secret> prompt(const std::string& text) {
  std::array<std::byte, kSecretBytesMax> line{};
  const auto n = platform::read_hidden_line(text, line);
  auto secret = n.ok() && *n > 0 ? crypto::Secret::copy_of(ByteView(line).first(*n))
                                 : Result<crypto::Secret>(invalid_argument("nothing was typed"));
  platform::wipe(line);
  if (!n.ok()) return n.error();
  return secret;
}

Error no_way_to_ask() {
  return invalid_argument("there is no terminal to type a passphrase on")
      .with_hint("give it in a file: --passphrase-file FILE (- is standard input)");
}

}  // namespace

Result<crypto::Secret> read_operator_secret(const std::string& question, const std::string& file,
                                            std::size_t bytes_max) {
  if (!file.empty()) return read_file_secret(file, bytes_max);
  if (!platform::has_hidden_input()) {
    return invalid_argument("there is no terminal to type a secret on")
        .with_hint("give it in a file: --file FILE (- is standard input)");
  }
  return prompt(question);
}

Result<const crypto::Secret*> OperatorSecrets::remember(const std::string& name,
                                                        crypto::Secret secret) {
  return &known_.insert_or_assign(name, std::move(secret)).first->second;
}

// nullptr: there is none to be had.
Result<const crypto::Secret*> OperatorSecrets::passphrase(std::size_t n) {
  const std::string name = std::to_string(n);
  if (const auto it = known_.find(name); it != known_.end()) return &it->second;
  const auto& files = flags_.passphrase_files;
  if (n < files.size()) {
    HF_TRY_ASSIGN(crypto::Secret secret, read_file_secret(files[n]));
    return remember(name, std::move(secret));
  }
  if (!files.empty() || !platform::has_hidden_input()) return nullptr;
  HF_TRY_ASSIGN(crypto::Secret secret,
                prompt(n == 0 ? "Passphrase: " : "Passphrase of the second person: "));
  return remember(name, std::move(secret));
}

Result<platform::UniqueFd> OperatorSecrets::ask(const keyring::SlotPlan& slot, std::size_t factor) {
  const keyring::FactorKind kind = slot.factors[factor].kind;
  if (kind == keyring::FactorKind::kTpm2 || kind == keyring::FactorKind::kPkcs11) return pin();
  std::size_t before = 0;
  for (std::size_t i = 0; i < factor; ++i) {
    if (slot.factors[i].kind == keyring::FactorKind::kPassphrase) ++before;
  }
  HF_TRY_ASSIGN(const crypto::Secret* secret, passphrase(before));
  if (secret == nullptr) return platform::UniqueFd();
  return custody::secret_socket(secret->view());
}

Result<platform::UniqueFd> OperatorSecrets::new_passphrase(std::size_t n) {
  const auto& files = flags_.passphrase_files;
  if (n < files.size()) {
    HF_TRY_ASSIGN(const crypto::Secret secret, read_file_secret(files[n]));
    return custody::secret_socket(secret.view());
  }
  if (!platform::has_hidden_input()) return no_way_to_ask();
  HF_TRY_ASSIGN(const crypto::Secret first, prompt("New passphrase: "));
  HF_TRY_ASSIGN(const crypto::Secret again, prompt("The same again: "));
  if (as_string_view(first.view()) != as_string_view(again.view()))
    return invalid_argument("the two passphrases differ").with_hint("type the same twice");
  return custody::secret_socket(first.view());
}

Result<platform::UniqueFd> OperatorSecrets::pin() {
  if (flags_.pin_file.empty()) return platform::UniqueFd();
  HF_TRY_ASSIGN(const crypto::Secret secret, read_file_secret(flags_.pin_file));
  return custody::secret_socket(secret.view());
}

}  // namespace holdfast::cli
