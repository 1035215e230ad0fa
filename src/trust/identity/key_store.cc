#include "holdfast/identity/key_store.h"

#include <algorithm>
#include <chrono>

#include "holdfast/base/utf8.h"

namespace holdfast::identity {
namespace {

// Another command holds the lock for one small file; longer means that something is wrong.
constexpr auto kLockWait = std::chrono::seconds(5);
constexpr auto kLockPoll = std::chrono::milliseconds(10);
constexpr unsigned kFileMode = 0600;
constexpr unsigned kDirectoryMode = 0700;

bool is_printable(std::string_view text) {
  return is_valid_utf8(text) && std::all_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
         });
}

Status check_models(const std::vector<std::string>& models) {
  if (models.size() > kModelsPerKeyMax)
    return invalid_argument("a key names at most " + std::to_string(kModelsPerKeyMax) + " models");
  for (const std::string& name : models) {
    if (name.empty() || name.size() > kModelNameBytesMax || !is_printable(name))
      return invalid_argument("'" + name + "' is no name of a model");
  }
  return ok_status();
}

Status check(const NewKey& key, std::int64_t now) {
  if (!is_tenant_name(key.tenant)) {
    return invalid_argument("'" + key.tenant + "' is no name of a tenant")
        .with_hint("1 to 64 characters of A-Z a-z 0-9 . _ -");
  }
  HF_TRY(check_models(key.models));
  if (key.label.size() > kLabelBytesMax || !is_printable(key.label))
    return invalid_argument("a label has at most 128 bytes and no control characters");
  if (key.weight < 1 || key.weight > kWeightMax)
    return invalid_argument("a weight is between 1 and 1000");
  if (key.quotas.requests_per_minute > kRequestsPerMinuteMax)
    return invalid_argument("requests_per_minute is at most 1000000");
  if (key.quotas.tokens_per_day > kTokensPerDayMax)
    return invalid_argument("tokens_per_day is at most 1000000000000");
  if (key.expires_at < 0 || (key.expires_at != 0 && key.expires_at <= now))
    return invalid_argument("the key would have expired already");
  return ok_status();
}

// Room for one more, or kExhausted.
Status make_room(std::vector<KeyRecord>& keys) {
  if (keys.size() < kKeysMax) return ok_status();
  const auto oldest = std::min_element(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
    const auto rank = [](const KeyRecord& k) {
      return k.revoked_at == 0 ? std::numeric_limits<std::int64_t>::max() : k.revoked_at;
    };
    return rank(a) < rank(b);
  });
  if (oldest->revoked_at == 0) {
    return exhausted("there are " + std::to_string(kKeysMax) + " API keys already")
        .with_hint("revoke keys that are not used any more");
  }
  keys.erase(oldest);
  return ok_status();
}

Result<std::size_t> index_of(const std::vector<KeyRecord>& keys, std::string_view id) {
  if (id.substr(0, 3) == "hk_") {
    return invalid_argument("this is a whole API key, which now stands in your shell's history")
        .with_hint("name a key by its id, as `holdfast key ls` shows it; revoke this one");
  }
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < keys.size() && !id.empty(); ++i) {
    if (std::string_view(keys[i].id).substr(0, id.size()) != id) continue;
    if (found) return invalid_argument("several keys begin with '" + std::string(id) + "'");
    found = i;
  }
  if (!found) {
    return not_found("there is no API key '" + std::string(id) + "'")
        .with_hint("`holdfast key ls` lists the keys");
  }
  return *found;
}

}  // namespace

Result<Pepper> read_pepper(platform::FileSystem& files, const std::string& directory) {
  const std::string path = KeyStore::pepper_path(directory);
  HF_TRY_ASSIGN(const platform::FileInfo info, files.stat(path));
  if ((info.mode & 077) != 0) {
    return Error(ErrorCode::kDenied, "the pepper of the API keys can be read by others", path)
        .with_hint("chmod 600 " + path + ", and create all keys anew");
  }
  HF_TRY_ASSIGN(const Bytes text, platform::read_file(files, path, 1024));
  std::string_view hex = as_string_view(text);
  if (!hex.empty() && hex.back() == '\n') hex.remove_suffix(1);
  const auto bytes = from_hex(hex);
  Pepper out;
  if (!bytes.ok() || bytes->size() != out.size())
    return corrupt("the pepper of the API keys is damaged", path);
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

KeyStore::KeyStore(platform::FileSystem& files, std::string directory, platform::Entropy& entropy,
                   const platform::Clock& clock, Verifiers* verifiers)
    : files_(files),
      directory_(std::move(directory)),
      entropy_(entropy),
      clock_(clock),
      verifiers_(verifiers) {}

std::string KeyStore::keys_path(const std::string& directory) { return directory + "/keys.json"; }
std::string KeyStore::pepper_path(const std::string& directory) { return directory + "/pepper"; }

Result<std::unique_ptr<platform::FileLock>> KeyStore::lock() {
  HF_TRY(files_.make_dirs(directory_, kDirectoryMode));
  const auto deadline = platform::Deadline::after(kLockWait);
  for (;;) {
    auto held = files_.try_lock(directory_ + "/lock");
    if (held.ok() || held.error().code() != ErrorCode::kUnavailable || deadline.passed())
      return held;
    platform::pause_for(kLockPoll);
  }
}

// Made once, before the first key; a new one would make every key invalid.
Result<Pepper> KeyStore::pepper(bool may_create) {
  auto known = read_pepper(files_, directory_);
  if (known.ok() || known.error().code() != ErrorCode::kNotFound) return known;
  if (!may_create)
    return corrupt("the pepper of the API keys is gone", pepper_path(directory_))
        .with_hint("restore it from a backup, or remove keys.json beside it and create new keys");
  Pepper fresh;
  HF_TRY(entropy_.fill(fresh));
  const std::string text = to_hex(fresh) + "\n";
  HF_TRY(
      platform::write_file_atomic(files_, pepper_path(directory_), as_bytes_view(text), kFileMode));
  return fresh;
}

Status KeyStore::save(const std::vector<KeyRecord>& keys) {
  const std::string text = encode_keys(keys);
  if (text.size() > kKeyFileBytesMax) return exhausted("the file of API keys would be too large");
  return platform::write_file_atomic(files_, keys_path(directory_), as_bytes_view(text), kFileMode);
}

Result<std::vector<KeyRecord>> KeyStore::list() const {
  const auto text = platform::read_file(files_, keys_path(directory_), kKeyFileBytesMax);
  if (!text.ok()) {
    if (text.error().code() == ErrorCode::kNotFound) return std::vector<KeyRecord>();
    return text.error();
  }
  return decode_keys(as_string_view(*text)).context(keys_path(directory_));
}

Result<KeyRecord> KeyStore::find(std::string_view id) const {
  HF_TRY_ASSIGN(std::vector<KeyRecord> keys, list());
  HF_TRY_ASSIGN(const std::size_t at, index_of(keys, id));
  return std::move(keys[at]);
}

Result<crypto::Sha256Digest> KeyStore::verifier(const ParsedKey& key, bool first_key) {
  if (verifiers_ != nullptr) return verifiers_->verifier(key);
  HF_TRY_ASSIGN(const Pepper secret_of_store, pepper(first_key));
  return key_verifier(secret_of_store, key);
}

// Draws id and secret, and saves all keys with the new one.
Result<CreatedKey> KeyStore::add(std::vector<KeyRecord>& keys, KeyRecord record) {
  KeyIdBytes id;
  KeySecretBytes secret;
  HF_TRY(entropy_.fill(id));
  HF_TRY(entropy_.fill(secret));
  CreatedKey out;
  out.key = format_key(id, secret);
  observe::wipe_memory(secret.data(), secret.size());
  HF_TRY_ASSIGN(const ParsedKey parsed, parse_key(out.key.reveal()));
  record.id = parsed.id;
  record.created_at = platform::unix_seconds(clock_.wall_time());
  HF_TRY_ASSIGN(record.verifier, verifier(parsed, keys.empty()));
  out.record = record;
  keys.push_back(std::move(record));
  HF_TRY(save(keys));
  return out;
}

Result<CreatedKey> KeyStore::create(const NewKey& wanted) {
  HF_TRY(check(wanted, platform::unix_seconds(clock_.wall_time())));
  HF_TRY_ASSIGN(const auto held, lock());
  HF_TRY_ASSIGN(std::vector<KeyRecord> keys, list());
  HF_TRY(make_room(keys));
  KeyRecord record;
  record.tenant = wanted.tenant;
  record.role = wanted.role;
  record.models = wanted.models;
  record.label = wanted.label;
  record.weight = wanted.weight;
  record.quotas = wanted.quotas;
  record.expires_at = wanted.expires_at;
  return add(keys, std::move(record));
}

Result<KeyRecord> KeyStore::revoke(std::string_view id) {
  HF_TRY_ASSIGN(const auto held, lock());
  HF_TRY_ASSIGN(std::vector<KeyRecord> keys, list());
  HF_TRY_ASSIGN(const std::size_t at, index_of(keys, id));
  if (keys[at].revoked_at == 0) {
    keys[at].revoked_at = std::max<std::int64_t>(platform::unix_seconds(clock_.wall_time()), 1);
    HF_TRY(save(keys));
  }
  return std::move(keys[at]);
}

Result<CreatedKey> KeyStore::rotate(std::string_view id, std::int64_t grace_seconds) {
  HF_TRY_ASSIGN(const auto held, lock());
  HF_TRY_ASSIGN(std::vector<KeyRecord> keys, list());
  HF_TRY_ASSIGN(std::size_t at, index_of(keys, id));
  const std::int64_t now = platform::unix_seconds(clock_.wall_time());
  if (!keys[at].active(now)) return conflict("the key is revoked or has expired");
  KeyRecord fresh = keys[at];
  if (grace_seconds > 0) {
    const std::int64_t end = now + grace_seconds;
    if (keys[at].expires_at == 0 || keys[at].expires_at > end) keys[at].expires_at = end;
  } else {
    keys[at].revoked_at = std::max<std::int64_t>(now, 1);
  }
  HF_TRY(make_room(keys));
  return add(keys, std::move(fresh));
}

}  // namespace holdfast::identity
