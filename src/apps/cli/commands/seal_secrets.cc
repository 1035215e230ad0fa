#include "seal_secrets.h"

#include <algorithm>

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

// The same secret is the same whether its file ends with a line end or not.
Result<crypto::Secret> first_line(const crypto::Secret& text) {
  ByteView view = text.view();
  while (!view.empty() && (view.back() == std::byte{'\n'} || view.back() == std::byte{'\r'}))
    view = view.first(view.size() - 1);
  if (view.empty()) return invalid_argument("an approver's secret is empty");
  return crypto::Secret::copy_of(view);
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

// A beginning of the id that only one slot has, or the whole of it.
Result<keyring::SlotPlan> find_slot(custody::Custody& c, const std::string& id) {
  HF_TRY_ASSIGN(const custody::CustodyStatus status, c.status());
  std::vector<keyring::SlotPlan> found;
  for (const keyring::SlotPlan& slot : status.slots) {
    if (!id.empty() && to_hex(slot.id).starts_with(id)) found.push_back(slot);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return not_found("there is no slot '" + id + "'").with_hint("holdfast seal status lists them");
  }
  return invalid_argument("several slots begin with '" + id + "'");
}

Result<std::vector<custody::Approver>> read_approvers(custody::Custody& c,
                                                      const ApproverFlags& flags) {
  std::vector<custody::Approver> approvers;
  for (const std::string& flag : flags) {
    const std::size_t split = flag.find('=');
    HF_TRY_ASSIGN(const keyring::SlotPlan slot, find_slot(c, flag.substr(0, split)));
    const std::string file = split == std::string::npos ? "" : flag.substr(split + 1);
    HF_TRY_ASSIGN(crypto::Secret text, read_operator_secret("Secret of slot " + slot.label + ": ",
                                                            file, kSecretBytesMax));
    HF_TRY_ASSIGN(crypto::Secret line, first_line(text));
    approvers.push_back({slot.id, std::move(line)});
  }
  return approvers;
}

void add_approver_flag(CLI::App& c, ApproverFlags& flags) {
  c.add_option("--approver", flags,
               "A person who approves (policy.dual_control): their slot, and the file with its "
               "secret (- is standard input; none: asks); twice")
      ->type_name("SLOT[=FILE]");
}

Status approve(custody::Custody& c, const ApproverFlags& flags) {
  if (flags.empty()) return ok_status();
  HF_TRY_ASSIGN(std::vector<custody::Approver> approvers, read_approvers(c, flags));
  return c.approve(std::move(approvers));
}

Status OperatorSecrets::know(std::span<const custody::Approver> approvers) {
  for (const custody::Approver& approver : approvers) {
    HF_TRY_ASSIGN(crypto::Secret secret, approver.secret.copy());
    of_slots_[approver.slot].push_back(std::move(secret));
  }
  return ok_status();
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
  if (const auto it = of_slots_.find(slot.id); it != of_slots_.end()) {
    const auto end = slot.factors.begin() + static_cast<std::ptrdiff_t>(factor);
    const auto n = static_cast<std::size_t>(
        std::count_if(slot.factors.begin(), end,
                      [](const keyring::Factor& f) { return !custody::needs_nobody(f); }));
    if (n < it->second.size()) return custody::secret_socket(it->second[n].view());
  }
  const keyring::FactorKind kind = slot.factors[factor].kind;
  if (kind == keyring::FactorKind::kTpm2 || kind == keyring::FactorKind::kPkcs11)
    return pin_of("slot " + to_hex(slot.id).substr(0, 12) + " (" + slot.label + ")");
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
  const auto known = known_.find("pin");
  if (known != known_.end()) return custody::secret_socket(known->second.view());
  HF_TRY_ASSIGN(crypto::Secret secret, read_file_secret(flags_.pin_file));
  HF_TRY_ASSIGN(const crypto::Secret* kept, remember("pin", std::move(secret)));
  return custody::secret_socket(kept->view());
}

Result<platform::UniqueFd> OperatorSecrets::pin_of(const std::string& what) {
  const bool ask = flags_.pin_file.empty() && flags_.passphrase_files.empty();
  if (!ask || !platform::has_hidden_input()) return pin();
  auto typed = prompt("PIN of " + what + " (empty: none): ");
  if (!typed.ok()) return platform::UniqueFd();
  return custody::secret_socket(typed->view());
}

}  // namespace holdfast::cli
