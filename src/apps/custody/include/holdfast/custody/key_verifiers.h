// Verifiers of API keys by the pepper that lies in the keyring: the key holder computes them.
#pragma once

#include <cstdint>

#include "holdfast/custody/custody.h"
#include "holdfast/custody/holder_client.h"
#include "holdfast/identity/verifiers.h"
#include "holdfast/platform/clock.h"

namespace holdfast::custody {

// Over a Custody, which starts a holder and opens it where needed: for commands. `custody` outlives
// it. Thread-safe.
class CustodyVerifiers final : public identity::Verifiers {
 public:
  explicit CustodyVerifiers(Custody& custody) : custody_(custody) {}
  Result<crypto::Sha256Digest> verifier(const identity::ParsedKey& key) override;

 private:
  Custody& custody_;
};

// Over a connection of its own to the holder that a server shares, for the thread that serves
// requests: it starts nothing, waits a second at most, and after a failure asks again five
// seconds later only. `files` and `clock` outlive it. Thread-compatible.
class SharedHolderVerifiers final : public identity::Verifiers {
 public:
  SharedHolderVerifiers(platform::FileSystem& files, std::string data_dir,
                        const platform::Clock& clock);
  // kUnavailable while no holder answers, or none that is open.
  Result<crypto::Sha256Digest> verifier(const identity::ParsedKey& key) override;

 private:
  HolderClient client_;
  const platform::Clock& clock_;
  std::int64_t not_before_ns_ = 0;
};

Result<bool> has_pepper(Custody& custody);

// Makes the pepper of the keyring from the file `keys_directory`/pepper, which is removed then, or
// draws one where there are no keys yet. kCorrupt where there are keys and the pepper is gone, and
// where file and keyring have different ones.
Status keep_pepper_in_keyring(Custody& custody, platform::FileSystem& files,
                              const std::string& keys_directory);

}  // namespace holdfast::custody
