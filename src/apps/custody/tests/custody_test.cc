// Real processes on a temporary data directory: the key holder, its openers, and what a crash
// leaves.
#include "holdfast/custody/custody.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>

#include "holdfast/custody/key_verifiers.h"
#include "holdfast/identity/key_store.h"
#include "holdfast/identity/key_table.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/socket.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::custody {
namespace {

using keyring::FactorKind;

class CustodyTest : public testing::Test {
 protected:
  CustodyTest() {
    std::string name = "/tmp/holdfast-custody-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~CustodyTest() override { std::filesystem::remove_all(directory_); }

  CustodyOptions options(bool share = false) const {
    CustodyOptions o;
    o.data_dir = directory_;
    o.key_file = directory_ + "/config/root.key";
    o.cost = {64 * 1024, 3, 1};
    o.program_dir = std::string(HOLDFAST_BINARY_DIR) + "/bin";
    o.share_holder = share;
    return o;
  }
  std::unique_ptr<Custody> open(bool share = false) {
    auto made = Custody::open(files_, options(share));
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return std::move(*made);
  }
  static AskSecret says(std::string_view text) {
    return [text](const keyring::SlotPlan&, std::size_t) {
      return secret_socket(as_bytes_view(text));
    };
  }
  static NewSlot passphrase_slot(std::string_view text) {
    NewSlot slot;
    slot.label = "words";
    slot.factors.push_back({FactorKind::kPassphrase, *secret_socket(as_bytes_view(text)), ""});
    return slot;
  }
  // The data key that give_dek sends.
  static Bytes dek_of(Custody& custody, const vault::ModelId& model,
                      DekChoice choice = DekChoice::kStored) {
    auto pair = platform::make_socket_pair();
    const auto blob = custody.give_dek(model, pair->theirs.get(), choice);
    EXPECT_TRUE(blob.ok()) << blob.error().to_string();
    if (!blob.ok()) return {};
    auto key = vault::receive_data_key(pair->ours.get(),
                                       platform::Deadline::after(std::chrono::seconds(5)));
    EXPECT_TRUE(key.ok());
    return Bytes(key->view().begin(), key->view().end());
  }

  platform::PosixFileSystem files_;
  std::string directory_;
  const vault::ModelId model_ = {std::byte{1}, std::byte{2}};
};

TEST_F(CustodyTest, FirstStartMakesAKeyFileThatOpensAgain) {
  Bytes dek;
  {
    auto c = open();
    ASSERT_EQ(*c->create_default(), FactorKind::kFile);
    dek = dek_of(*c, model_);
  }
  struct stat info {};
  ASSERT_EQ(::stat((directory_ + "/keyring.hfk").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  auto c = open();
  const Status opened = c->ensure_open();
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  EXPECT_EQ(dek_of(*c, model_), dek);
  EXPECT_EQ(c->create_default().error().code(), ErrorCode::kConflict);
}

TEST_F(CustodyTest, PassphraseOpensAndAWrongOneIsToldNothing) {
  {
    auto c = open();
    const Status made = c->create(passphrase_slot("correct horse"));
    ASSERT_TRUE(made.ok()) << made.error().to_string();
  }
  auto c = open();
  EXPECT_EQ(c->ensure_open().error().code(), ErrorCode::kUnavailable);
  const Status wrong = c->unseal(says("battery staple"));
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code(), ErrorCode::kDenied);
  const Status right = c->unseal(says("correct horse\n"));
  EXPECT_TRUE(right.ok()) << right.error().to_string();
  ASSERT_TRUE(c->seal().ok());
  EXPECT_EQ(c->ensure_open().error().code(), ErrorCode::kUnavailable);
}

TEST_F(CustodyTest, RotationKeepsEveryModelsKey) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  const Bytes dek = dek_of(*c, model_);
  const Bytes before = *c->dek_blob(model_);
  ASSERT_EQ(c->rotate_kek({})->data_keys, 1u);
  EXPECT_NE(*c->dek_blob(model_), before);
  EXPECT_EQ(dek_of(*c, model_), dek);
  const auto lost = c->rotate_root({});
  ASSERT_TRUE(lost.ok()) << lost.error().to_string();
  EXPECT_TRUE(lost->empty());
  EXPECT_EQ(dek_of(*c, model_), dek);
  c.reset();
  c = open();
  ASSERT_TRUE(c->ensure_open().ok());
  EXPECT_EQ(dek_of(*c, model_), dek);
  EXPECT_EQ(c->status()->holder.irk_epoch, 2u);
  EXPECT_EQ(c->status()->kek_epoch, 2u);
}

// A crash between the packs' new key and the stored one leaves both good, and the rotation is taken
// up with the same key.
TEST_F(CustodyTest, TheNextKeyOfAModelSurvivesUntilItIsAdopted) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  EXPECT_EQ(c->adopt_dek(model_).error().code(), ErrorCode::kNotFound);
  const Bytes own = dek_of(*c, model_);
  const Bytes next = dek_of(*c, model_, DekChoice::kNext);
  EXPECT_NE(own, next);
  ASSERT_TRUE(c->rotate_kek({}).ok());
  EXPECT_EQ(dek_of(*c, model_), own);
  EXPECT_EQ(dek_of(*c, model_, DekChoice::kNext), next);
  ASSERT_TRUE(c->adopt_dek(model_).ok());
  EXPECT_EQ(dek_of(*c, model_), next);
  EXPECT_NE(dek_of(*c, model_, DekChoice::kNext), next);
}

// The header of a sealed pack with that key, which is in its first slot.
vault::PackHeader header_with(ByteView dek, const vault::ModelId& model, vault::WrapSlot slot) {
  vault::PackHeader header;
  header.seal = crypto::AeadAlgorithm::kAes256Gcm;
  header.plaintext_len = 1;
  header.model_id = model;
  const auto keys = vault::derive_content_keys(*crypto::Secret::copy_of(dek), *header.seal,
                                               header.salt, header.model_id);
  header.mac = vault::header_mac(vault::encode_header(header), keys->header_key);
  header.slots.front() = slot;
  return header;
}

TEST_F(CustodyTest, AKeyThatIsInAPackAloneIsRenewedThereOrKept) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  const Bytes dek = dek_of(*c, model_);
  const Bytes blob = *c->dek_blob(model_);
  vault::PackHeader header = header_with(dek, model_, *c->wrap_slot(blob));
  ASSERT_TRUE(c->forget_dek(model_).ok());
  const auto opens = [&] {
    const auto pair = platform::make_socket_pair();
    return c->send_content_keys(header, pair->theirs.get()).ok();
  };
  ASSERT_TRUE(opens());
  // The pack cannot be written: the old key stays.
  const auto refuse = [](const vault::WrapSlots&) {
    return Status(Error(ErrorCode::kIo, "read-only"));
  };
  EXPECT_EQ(c->rotate_kek({{"m", header, refuse}}).error().code(), ErrorCode::kIo);
  EXPECT_TRUE(opens());
  const auto write = [&](const vault::WrapSlots& slots) {
    header.slots = slots;
    return ok_status();
  };
  ASSERT_TRUE(c->rotate_kek({{"m", header, write}}).ok());
  EXPECT_TRUE(opens());
}

// Two keys of one model: only the one of the pack is sent, and a changed header gets none.
TEST_F(CustodyTest, AnotherKeyOfTheModelIsNotSent) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  dek_of(*c, model_);
  const Bytes next = dek_of(*c, model_, DekChoice::kNext);
  vault::PackHeader header = header_with(next, model_, *c->wrap_slot(*c->dek_blob(model_)));
  const auto pair = platform::make_socket_pair();
  ASSERT_TRUE(c->send_content_keys(header, pair->theirs.get()).ok());
  const auto keys = vault::receive_content_keys(pair->ours.get(),
                                                platform::Deadline::after(std::chrono::seconds(5)));
  EXPECT_EQ(vault::header_mac(vault::encode_header(header), keys->header_key), header.mac);
  header.model_version = 1;
  EXPECT_EQ(c->send_content_keys(header, pair->theirs.get()).error().code(), ErrorCode::kCorrupt);
}

TEST_F(CustodyTest, TheImportKeyStaysThroughRestartsAndRotations) {
  const ByteView statement = as_bytes_view("DSSEv1 28 application/vnd.in-toto+json 2 {}");
  Bytes key;
  {
    auto c = open();
    ASSERT_TRUE(c->create_default().ok());
    key = *c->import_public_key();
    EXPECT_EQ(key.size(), 91u);
    const auto signature = c->sign_import(statement);
    ASSERT_TRUE(signature.ok()) << signature.error().to_string();
    EXPECT_EQ(c->sign_import(as_bytes_view("anything")).error().code(),
              ErrorCode::kInvalidArgument);
    EXPECT_EQ(c->sign_import(Bytes(kSignedBytesMax + 1)).error().code(), ErrorCode::kExhausted);
    ASSERT_TRUE(c->rotate_root({}).ok());
    EXPECT_EQ(*c->import_public_key(), key);
  }
  EXPECT_EQ(*open()->import_public_key(), key);
}

TEST_F(CustodyTest, TwoProcessesMakeOneImportKey) {
  auto first = open();
  ASSERT_TRUE(first->create_default().ok());
  auto second = open();
  ASSERT_TRUE(second->ensure_open().ok());
  const Bytes key = *first->import_public_key();
  EXPECT_EQ(*second->import_public_key(), key);
}

identity::NewKey acme() {
  identity::NewKey key;
  key.tenant = "acme";
  return key;
}

// Keys of before the keyring stay valid, and the pepper's file goes.
TEST_F(CustodyTest, ThePepperMovesIntoTheKeyring) {
  platform::SystemEntropy entropy;
  const std::string keys = directory_ + "/keys";
  identity::KeyStore before(files_, keys, entropy, platform::system_clock());
  const identity::CreatedKey old = *before.create(acme());
  auto server = open(true);
  ASSERT_TRUE(server->create_default().ok());
  ASSERT_FALSE(*has_pepper(*server));
  const Status kept = keep_pepper_in_keyring(*server, files_, keys);
  ASSERT_TRUE(kept.ok()) << kept.error().to_string();
  EXPECT_TRUE(*has_pepper(*server));
  EXPECT_FALSE(files_.exists(keys + "/pepper"));
  EXPECT_TRUE(keep_pepper_in_keyring(*server, files_, keys).ok());

  CustodyVerifiers by_command(*server);
  identity::KeyStore after(files_, keys, entropy, platform::system_clock(), &by_command);
  const identity::CreatedKey fresh = *after.create(acme());
  SharedHolderVerifiers by_server(files_, directory_, platform::system_clock());
  identity::KeyTable table(files_, keys, platform::system_clock(), &by_server);
  ASSERT_TRUE(table.load().ok());
  for (const identity::CreatedKey* key : {&old, &fresh})
    EXPECT_EQ(table.authenticate(key->key.reveal()).state, identity::KeyState::kValid);

  ASSERT_TRUE(server->seal().ok());
  const observe::SecretText other = identity::format_key({}, {});
  EXPECT_EQ(table.authenticate(other.reveal()).state, identity::KeyState::kUnknown);
  // Another pepper beside the keyring's is a mix of two backups.
  ASSERT_TRUE(server
                  ->unseal([](const keyring::SlotPlan&, std::size_t) {
                    return Result<platform::UniqueFd>(platform::UniqueFd());
                  })
                  .ok() ||
              server->ensure_open().ok());
  ASSERT_TRUE(platform::write_file_atomic(files_, keys + "/pepper",
                                          as_bytes_view(std::string(64, 'a') + "\n"), 0600)
                  .ok());
  EXPECT_EQ(keep_pepper_in_keyring(*server, files_, keys).error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(files_.exists(keys + "/pepper"));
}

TEST_F(CustodyTest, KeysWithoutAPepperGetNoNewOne) {
  platform::SystemEntropy entropy;
  const std::string keys = directory_ + "/keys";
  identity::KeyStore store(files_, keys, entropy, platform::system_clock());
  ASSERT_TRUE(store.create(acme()).ok());
  ASSERT_TRUE(files_.remove(keys + "/pepper").ok());
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  EXPECT_EQ(keep_pepper_in_keyring(*c, files_, keys).error().code(), ErrorCode::kCorrupt);
  EXPECT_FALSE(*has_pepper(*c));
}

// Nobody waits for a holder that hangs, and none is started by who only asks.
TEST_F(CustodyTest, VerifiersFailFastWhereNoHolderAnswers) {
  SharedHolderVerifiers verifiers(files_, directory_, platform::system_clock());
  const identity::ParsedKey key{"a", "b"};
  EXPECT_EQ(verifiers.verifier(key).error().code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(files_.exists(directory_ + "/keyholder.sock"));
}

TEST_F(CustodyTest, OldKeyringIsRefused) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  const std::string path = directory_ + "/keyring.hfk";
  const Bytes old = *platform::read_file(files_, path, 1u << 20);
  ASSERT_TRUE(c->add_slot(passphrase_slot("second")).ok());
  c.reset();
  ASSERT_TRUE(platform::write_file_atomic(files_, path, old, 0600).ok());
  c = open();
  EXPECT_EQ(c->ensure_open().error().code(), ErrorCode::kCorrupt);
}

TEST_F(CustodyTest, OpenPermissionsAreRefused) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  c.reset();
  ASSERT_EQ(::chmod((directory_ + "/keyring.hfk").c_str(), 0644), 0);
  EXPECT_EQ(open()->ensure_open().error().code(), ErrorCode::kDenied);
  ASSERT_EQ(::chmod((directory_ + "/keyring.hfk").c_str(), 0600), 0);
  ASSERT_EQ(::chmod((directory_ + "/config/root.key").c_str(), 0640), 0);
  EXPECT_EQ(open()->ensure_open().error().code(), ErrorCode::kUnavailable);
}

TEST_F(CustodyTest, SlotsAreRemovedOnlyWhereAnotherIsKnownToOpen) {
  auto c = open();
  ASSERT_TRUE(c->create_default().ok());
  const keyring::SlotId file = c->status()->slots.front().id;
  EXPECT_EQ(c->remove_slot(file).error().code(), ErrorCode::kConflict);
  const auto words = c->add_slot(passphrase_slot("words"));
  ASSERT_TRUE(words.ok()) << words.error().to_string();
  EXPECT_EQ(c->remove_slot(file).error().code(), ErrorCode::kConflict);
  EXPECT_EQ(c->test_slot(*words, says("wrong")).error().code(), ErrorCode::kDenied);
  ASSERT_TRUE(c->test_slot(*words, says("words")).ok());
  EXPECT_TRUE(c->remove_slot(file).ok());
  EXPECT_EQ(c->status()->slots.size(), 1u);
}

TEST_F(CustodyTest, TwoPersonsOpenTogether) {
  NewSlot slot = passphrase_slot("first");
  slot.factors.push_back({FactorKind::kPassphrase, *secret_socket(as_bytes_view("second")), ""});
  {
    auto c = open();
    ASSERT_TRUE(c->create(std::move(slot)).ok());
  }
  const AskSecret both = [](const keyring::SlotPlan&, std::size_t factor) {
    return secret_socket(as_bytes_view(factor == 0 ? "first" : "second"));
  };
  auto c = open();
  EXPECT_EQ(c->unseal(says("first")).error().code(), ErrorCode::kDenied);
  EXPECT_TRUE(c->unseal(both).ok());
}

// A second process uses the holder that the first one shares.
TEST_F(CustodyTest, AServersHolderIsShared) {
  auto server = open(true);
  ASSERT_TRUE(server->create_default().ok());
  auto command = open();
  EXPECT_TRUE(command->status()->holder.open);
  EXPECT_TRUE(command->status()->holder_is_shared);
  const Bytes dek = dek_of(*command, model_);
  ASSERT_TRUE(command->rotate_kek({}).ok());
  EXPECT_EQ(dek_of(*server, model_), dek);
}

// What one child does until it is killed: every kind of change, again and again.
[[noreturn]] void change_for_ever(const CustodyOptions& options, int report) {
  platform::PosixFileSystem files;
  auto custody = Custody::open(files, options);
  if (!custody.ok()) ::_exit(3);
  Custody& c = **custody;
  if (!c.exists() && !c.create_default().ok()) ::_exit(4);
  if (!c.ensure_open().ok()) ::_exit(5);
  for (std::uint8_t n = 1;; n = static_cast<std::uint8_t>(n % 250 + 1)) {
    vault::ModelId model{};
    model[0] = static_cast<std::byte>(n);
    auto pair = platform::make_socket_pair();
    if (!c.give_dek(model, pair->theirs.get()).ok()) ::_exit(6);
    // Acknowledged: from here on the key must survive.
    if (::write(report, &n, 1) != 1) ::_exit(0);
    const bool good = n % 2 == 0 ? c.rotate_kek({}).ok() : c.rotate_root({}).ok();
    if (!good) ::_exit(7);
  }
}

// Nothing acknowledged is lost, and nothing half-done is visible: after each kill the keyring opens
// by itself, and every key that was acknowledged opens.
TEST_F(CustodyTest, KilledAtRandomPointsItOpensAgain) {
  const int rounds = 20;
  std::mt19937 random(20261130);
  std::vector<vault::ModelId> acknowledged;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const CustodyOptions o = options();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      change_for_ever(o, ends[1]);
    }
    ::close(ends[1]);
    ::usleep(std::uniform_int_distribution<useconds_t>(1'000, 400'000)(random));
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "round " << round << ": exit " << WEXITSTATUS(status);
    std::uint8_t n = 0;
    while (::read(ends[0], &n, 1) == 1) {
      vault::ModelId model{};
      model[0] = static_cast<std::byte>(n);
      acknowledged.push_back(model);
    }
    ::close(ends[0]);
    auto c = open();
    if (!c->exists()) {
      ASSERT_TRUE(acknowledged.empty());
      continue;
    }
    const Status opened = c->ensure_open();
    ASSERT_TRUE(opened.ok()) << "round " << round << ": " << opened.error().to_string();
    for (const vault::ModelId& model : acknowledged)
      ASSERT_TRUE(c->reveal_dek(model).ok()) << "round " << round;
  }
}

}  // namespace
}  // namespace holdfast::custody
