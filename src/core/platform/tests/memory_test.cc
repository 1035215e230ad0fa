#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "holdfast/platform/huge_memory.h"
#include "holdfast/platform/secret_memory.h"

namespace {
// What the last munmap() of these many bytes found in its second page.
std::size_t watched_bytes = 0;
std::string seen;
}  // namespace

// In front of the C library's: the only way to see what memory holds when it is given back.
extern "C" int munmap(void* at, std::size_t bytes) noexcept {
  if (bytes == watched_bytes) seen.assign(static_cast<const char*>(at) + 4096, 32);
  return static_cast<int>(::syscall(SYS_munmap, at, bytes));
}

namespace holdfast::platform {
namespace {

TEST(SecretMemory, IsZeroedThenWiped) {
  {
    auto memory = SecretMemory::allocate(5000);
    ASSERT_TRUE(memory.ok()) << memory.error().to_string();
    EXPECT_EQ(memory->size(), 5000u);
    EXPECT_TRUE(std::ranges::all_of(memory->view(), [](std::byte b) { return b == std::byte{0}; }));
    std::ranges::fill(memory->bytes(), std::byte{'k'});
    SecretMemory moved = std::move(*memory);
    EXPECT_EQ(moved.view()[4999], std::byte{'k'});
    EXPECT_EQ(memory->size(), 0u);
    watched_bytes = 4 * 4096;
  }
  watched_bytes = 0;
  EXPECT_EQ(seen, std::string(32, '\0'));
}

TEST(SecretMemoryDeathTest, LiesBetweenPagesThatFault) {
  auto memory = SecretMemory::allocate(4096);
  ASSERT_TRUE(memory.ok());
  volatile std::byte* at = memory->bytes().data();
  EXPECT_DEATH(static_cast<void>(at[-1]), "");
  EXPECT_DEATH(static_cast<void>(at[4096]), "");
}

// Swap and core dumps: "lo" locked, "dd" not dumped, "dc" not given to children.
TEST(SecretMemory, IsLockedAndOutOfDumps) {
  auto memory = SecretMemory::allocate(32);
  ASSERT_TRUE(memory.ok());
  std::ifstream maps("/proc/self/smaps");
  std::ostringstream address;
  address << std::hex << reinterpret_cast<std::uintptr_t>(memory->view().data()) << '-';
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with(address.str())) ours = true;
    if (!ours || !line.starts_with("VmFlags:")) continue;
    EXPECT_NE(line.find(" lo "), std::string::npos) << line;
    EXPECT_NE(line.find(" dd "), std::string::npos) << line;
    EXPECT_NE(line.find(" dc "), std::string::npos) << line;
    return;
  }
  FAIL() << "the mapping was not found";
}

// A container may forbid to lock anything: keys still work, and say what they are not.
TEST(SecretMemoryDeathTest, WithoutAnyLockedMemory) {
  const auto without = [] {
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) ::_exit(2);
    // Who has the privilege is under no limit.
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(3);
    auto memory = SecretMemory::allocate(32);
    if (!memory.ok()) ::_exit(4);
    memory->bytes()[31] = std::byte{1};
    ::_exit(memory->kind() == SecretMemoryKind::kNotLocked ? 0 : 5);
  };
  EXPECT_EXIT(without(), testing::ExitedWithCode(0), "");
}

TEST(SecretMemory, WipeOverwrites) {
  std::byte bytes[3] = {std::byte{1}, std::byte{2}, std::byte{3}};
  wipe(bytes);
  EXPECT_EQ(bytes[0] | bytes[1] | bytes[2], std::byte{0});
}

TEST(LargeBuffer, AlignedZeroedAndCounted) {
  MemoryBudget budget(10u << 20);
  {
    auto buffer = LargeBuffer::allocate(3'000'001, &budget);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % kLargeBufferAlignment, 0u);
    EXPECT_EQ(buffer->size(), 3'000'001u);
    EXPECT_EQ(budget.used_bytes(), 3'000'001u);
    const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
    EXPECT_TRUE(std::ranges::all_of(buffer->view(), is_zero));
    std::ranges::fill(buffer->bytes(), std::byte{7});
    buffer->discard();
    EXPECT_TRUE(std::ranges::all_of(buffer->view(), is_zero));
    LargeBuffer moved = std::move(*buffer);
    EXPECT_EQ(buffer->size(), 0u);
    EXPECT_EQ(budget.used_bytes(), 3'000'001u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(LargeBuffer, RefusalsKeepTheBudget) {
  MemoryBudget budget(1000);
  EXPECT_EQ(LargeBuffer::allocate(1001, &budget).error().code(), ErrorCode::kExhausted);
  EXPECT_TRUE(LargeBuffer::allocate(1000, &budget).ok());
  EXPECT_TRUE(LargeBuffer::allocate(0, &budget).ok());
  EXPECT_EQ(LargeBuffer::allocate(UINT64_MAX, nullptr).error().code(), ErrorCode::kExhausted);
  MemoryBudget endless(UINT64_MAX);
  EXPECT_EQ(LargeBuffer::allocate(std::uint64_t{1} << 60, &endless).error().code(),
            ErrorCode::kExhausted);
  EXPECT_EQ(budget.used_bytes() + endless.used_bytes(), 0u);
}

// Oracle: the kernel's own account of the mapping.
TEST(LargeBuffer, IsLockedWhereThatIsAllowed) {
  raise_locked_memory_limit();
  auto buffer = LargeBuffer::allocate(1u << 20, nullptr, {.lock = MemoryLock::kBestEffort});
  ASSERT_TRUE(buffer.ok());
  std::ranges::fill(buffer->bytes(), std::byte{7});
  std::ifstream smaps("/proc/self/smaps");
  std::ostringstream address;
  address << std::hex << reinterpret_cast<std::uintptr_t>(buffer->data()) << '-';
  bool ours = false;
  std::string flags;
  for (std::string line; std::getline(smaps, line);) {
    if (line.starts_with(address.str())) ours = true;
    if (!ours || !line.starts_with("VmFlags:")) continue;
    flags = line + " ";
    break;
  }
  EXPECT_EQ(flags.find(" lo ") != std::string::npos, buffer->locked()) << flags;
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
  // Locked pages too can be given back.
  buffer->discard();
  const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  EXPECT_TRUE(std::ranges::all_of(buffer->view(), is_zero));
}

TEST(LargeBuffer, RefusesWhatCannotBeLocked) {
  // Root may lock anything, so its privilege is given up first; each case has its own process.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  ASSERT_EQ(::syscall(SYS_capset, &header, none), 0);
  const rlimit limit{65536, 65536};
  ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &limit), 0);
  const auto refused = LargeBuffer::allocate(1u << 20, nullptr, {.lock = MemoryLock::kRequired});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kExhausted);
  EXPECT_NE(refused.error().hint().find("1025 KiB"), std::string::npos) << refused.error().hint();
  const auto anyway = LargeBuffer::allocate(1u << 20, nullptr, {.lock = MemoryLock::kBestEffort});
  ASSERT_TRUE(anyway.ok());
  EXPECT_FALSE(anyway->locked());
}

}  // namespace
}  // namespace holdfast::platform
