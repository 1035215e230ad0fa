// Downloads from a server in this process that misbehaves on purpose. Oracle: the bytes that it
// has, and how many of them it was asked for.
#include "holdfast/fetch/download.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <set>

#include "holdfast/base/units.h"
#include "holdfast/crypto/git_blob.h"
#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/journal.h"

namespace holdfast::fetch {
namespace {

std::string content_of(std::size_t size, unsigned seed) {
  std::string out(size, '\0');
  std::uint64_t x = seed * 2654435761u + 1;
  for (char& c : out) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(x >> 33);
  }
  return out;
}

// What the server does with one request.
struct Fault {
  std::uint64_t cut_after = ~std::uint64_t{0};  // bytes, then the connection breaks
  bool wrong_range = false;
  bool no_answer = false;
  std::uint32_t status = 0;  // instead of the file
  std::string location = {};
  int flip_at = -1;  // a wrong byte there
  bool die = false;  // the fetcher itself
};

class Stub {
 public:
  std::string content, etag = "\"1\"";
  bool ranges = true, digests = false;
  bool conditions = true;  // knows If-Range
  std::deque<Fault> faults;
  std::function<void(Stub&)> before_request;
  std::uint64_t sent = 0;
  std::size_t requests = 0, located = 0, links = 0;
  std::set<std::pair<std::uint64_t, std::uint64_t>> asked;
};

class StubLink final : public Link {
 public:
  StubLink(Stub& stub, int fd) : stub_(stub), fd_(fd) {}

  Status send(const Request& r) override {
    ++stub_.requests;
    if (stub_.before_request) stub_.before_request(stub_);
    Fault fault;
    if (!stub_.faults.empty()) {
      fault = stub_.faults.front();
      stub_.faults.pop_front();
    }
    if (fault.die) dead_ = true;
    if (!dead_) answer(r, fault);
    return ok_status();
  }
  Status cancel(std::uint32_t) override { return ok_status(); }
  Result<std::optional<Event>> next(platform::Deadline) override {
    if (events_.empty()) {
      if (dead_) return unavailable("the fetcher is gone");
      return std::optional<Event>();
    }
    Event event = std::move(events_.front());
    events_.pop_front();
    return std::optional<Event>(std::move(event));
  }

 private:
  void answer(const Request& r, const Fault& fault) {
    if (fault.no_answer) return events_.push_back(Done{r.id, 0, unavailable("no connection")});
    const bool changed = stub_.conditions && !field(r.fields, "If-Range").empty() &&
                         field(r.fields, "If-Range") != stub_.etag;
    const bool part = r.ranged && stub_.ranges && !changed;
    Head head{r.id, fault.status != 0 ? fault.status : part ? 206u : 200u, {}};
    if (!stub_.etag.empty()) head.fields.emplace_back("etag", stub_.etag);
    if (!fault.location.empty()) head.fields.emplace_back("location", fault.location);
    const std::uint64_t first = part ? r.first + (fault.wrong_range ? 1 : 0) : 0;
    const std::uint64_t end =
        part ? std::min<std::uint64_t>(r.last + 1, stub_.content.size()) : stub_.content.size();
    std::string body = stub_.content.substr(first, end - first);
    if (part) {
      head.fields.emplace_back("content-range", "bytes " + std::to_string(first) + "-" +
                                                    std::to_string(end - 1) + "/" +
                                                    std::to_string(stub_.content.size()));
      stub_.asked.emplace(r.first, r.last);
    }
    if (stub_.digests) {
      head.fields.emplace_back("content-digest",
                               "sha-256=:" + to_base64(crypto::sha256(as_bytes_view(body))) + ":");
    }
    if (fault.flip_at >= 0) body[static_cast<std::size_t>(fault.flip_at) % body.size()] ^= 1;
    events_.push_back(head);
    const auto use = judge_answer(r, head.status, head.fields);
    if (!use.ok()) return events_.push_back(Done{r.id, 0, use.error()});
    if (*use == Use::kDrop) return events_.push_back(Done{r.id, 0, std::nullopt});
    deliver(r, body, fault);
  }

  void deliver(const Request& r, std::string body, const Fault& fault) {
    const bool cut = fault.cut_after < body.size();
    if (cut) body.resize(fault.cut_after);
    const std::uint64_t start = r.ranged ? r.first : 0;
    std::uint64_t at = 0;
    while (at < body.size()) {
      const std::size_t n = std::min<std::size_t>(100'000, body.size() - at);
      EXPECT_EQ(::pwrite(fd_, body.data() + at, n, static_cast<off_t>(start + at)),
                static_cast<ssize_t>(n));
      at += n;
      events_.push_back(Progress{r.id, at});
    }
    stub_.sent += body.size();
    std::optional<Error> error;
    if (cut) error = unavailable("the connection broke");
    events_.push_back(Done{r.id, at, error});
  }

  Stub& stub_;
  int fd_;
  bool dead_ = false;
  std::deque<Event> events_;
};

class StubServer final : public FileServer {
 public:
  explicit StubServer(Stub& stub) : stub_(stub) {}
  Result<Url> locate() override {
    ++stub_.located;
    return parse_url("https://a.org/x");
  }
  Result<Url> follow(const Url& from, std::string_view location) override {
    return resolve_url(from, location);
  }
  Fields fields_for(const Url&) override { return {}; }
  Result<std::unique_ptr<Link>> connect(const Url&, int fd, std::uint64_t) override {
    ++stub_.links;
    return std::unique_ptr<Link>(std::make_unique<StubLink>(stub_, fd));
  }

 private:
  Stub& stub_;
};

class DownloadTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/download-" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    stub_.content = content_of(20 * kMiB + 12345, 1);
    use_content();
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void use_content() {
    options_.path = dir_ + "/file";
    options_.identity = "id";
    options_.size_bytes = stub_.content.size();
    options_.sha256 = crypto::sha256(as_bytes_view(stub_.content));
  }
  Status run() {
    StubServer server(stub_);
    return download(fs_, server, options_);
  }
  void expect_whole() {
    const auto bytes = platform::read_file(fs_, options_.path, kGiB);
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(as_string_view(*bytes) == stub_.content);
    EXPECT_FALSE(fs_.exists(options_.path + ".part"));
    EXPECT_FALSE(fs_.exists(options_.path + ".journal"));
  }
  std::uint64_t again() const { return stub_.sent - stub_.content.size(); }

  platform::PosixFileSystem fs_;
  std::string dir_;
  Stub stub_;
  DownloadOptions options_;
};

TEST_F(DownloadTest, FetchesEachByteOnce) {
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(stub_.sent, stub_.content.size());
  EXPECT_EQ(stub_.requests, 3u);  // one for each shard
  ASSERT_TRUE(run().ok());        // and is not fetched again
  EXPECT_EQ(stub_.requests, 3u);
}

TEST_F(DownloadTest, AnEmptyFileNeedsNoConnection) {
  stub_.content.clear();
  use_content();
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(stub_.requests, 0u);
}

TEST_F(DownloadTest, GoesOnAtTheByteWhereItWasCut) {
  for (std::uint64_t i = 0; i < 50; ++i) {
    stub_.faults.push_back({});
    stub_.faults.back().cut_after = 1 + i * 7919;
  }
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), 0u);
}

TEST_F(DownloadTest, StoppedItGoesOnLater) {
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  for (int round = 0; round < 8; ++round) {
    cancel = false;
    std::uint64_t least = (static_cast<std::uint64_t>(round) + 1) * 2 * kMiB;
    options_.on_progress = [&](std::uint64_t done) { cancel = done >= least; };
    const Status status = run();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::kCancelled);
  }
  options_.on_progress = {};
  cancel = false;
  ASSERT_TRUE(run().ok());
  expect_whole();
  // The stub sends whole shards ahead, so each stop may lose what was not journaled of them.
  EXPECT_LE(again(), 8 * 3 * kShardBytes);
}

// What the journal says is believed only where the bytes are there.
TEST_F(DownloadTest, LostBytesAreFetchedAgain) {
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.on_progress = [&](std::uint64_t done) { cancel = done >= 12 * kMiB; };
  ASSERT_FALSE(run().ok());
  {
    auto part = platform::File::open_update(options_.path + ".part");
    ASSERT_TRUE(part.ok());
    const Bytes zeros(4096);
    ASSERT_TRUE(part->write_at(3 * kMiB + 5, zeros).ok());
  }
  cancel = false;
  options_.on_progress = {};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_TRUE(stub_.asked.contains({3 * kMiB, 4 * kMiB - 1}));
}

TEST_F(DownloadTest, AnotherEtagStartsAnew) {
  stub_.faults = {{.cut_after = 5 * kMiB}};
  stub_.before_request = [](Stub& stub) {
    if (stub.requests == 2) stub.etag = "\"2\"";
  };
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), 5 * kMiB);
}

// A server that gives parts of the new file whatever the condition says.
TEST_F(DownloadTest, PartsOfTwoFilesAreNotSpliced) {
  options_.parts = 1;
  stub_.conditions = false;
  stub_.faults = {{.cut_after = 5 * kMiB}};
  stub_.before_request = [](Stub& stub) {
    if (stub.requests == 2) stub.etag = "\"2\"";
  };
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), kShardBytes);  // five of them before, the rest refused
}

TEST_F(DownloadTest, AnotherLengthStartsAnewAndIsNotTaken) {
  stub_.faults = {{.cut_after = 5 * kMiB}};
  const std::string content = stub_.content;
  stub_.before_request = [&](Stub& stub) {
    if (stub.requests == 2) stub.content += "more";
  };
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  EXPECT_FALSE(fs_.exists(options_.path));
}

TEST_F(DownloadTest, AFileThatKeepsChangingIsGivenUp) {
  stub_.before_request = [](Stub& stub) {
    stub.etag = "\"" + std::to_string(stub.requests) + "\"";
  };
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
}

TEST_F(DownloadTest, AWrongRangeIsNeverWritten) {
  stub_.faults = {{.wrong_range = true}, {.wrong_range = true}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), 0u);
}

TEST_F(DownloadTest, AWrongRangeThreeTimesStops) {
  for (int i = 0; i < 10; ++i) stub_.faults.push_back({.wrong_range = true});
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(stub_.requests, kStrikesMax);
}

TEST_F(DownloadTest, WrongBytesWithADigestCostTheirShardOnly) {
  stub_.digests = true;
  stub_.faults = {{}, {.flip_at = 4'000'000}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), kShardBytes);
}

// Its pieces are all there before its end is told.
TEST_F(DownloadTest, WrongBytesInTheLastAnswerToo) {
  stub_.digests = true;
  options_.parts = 1;
  stub_.faults = {{}, {}, {.flip_at = 1'000'000}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), stub_.content.size() - 2 * kShardBytes);
}

TEST_F(DownloadTest, WrongBytesWithADigestThreeTimesStop) {
  stub_.digests = true;
  for (int i = 0; i < 20; ++i) stub_.faults.push_back({.flip_at = 4'000'000});
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  EXPECT_FALSE(fs_.exists(options_.path));
}

TEST_F(DownloadTest, WrongBytesWithoutADigestAreFoundByFetchingAgain) {
  options_.parts = 1;
  stub_.faults = {{}, {.flip_at = 4'000'000}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(again(), 2 * kShardBytes);  // the first, which was right, and the wrong one
}

TEST_F(DownloadTest, OtherBytesThanPromisedAreRefused) {
  stub_.content[15'000'000] = static_cast<char>(stub_.content[15'000'000] ^ 1);
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  EXPECT_FALSE(fs_.exists(options_.path));
  EXPECT_EQ(stub_.requests, 3u * kStrikesMax);
}

TEST_F(DownloadTest, WithoutRangesTheWholeFile) {
  stub_.ranges = false;
  stub_.faults = {{}, {.cut_after = 3 * kMiB}};
  ASSERT_TRUE(run().ok());
  expect_whole();
}

TEST_F(DownloadTest, WithoutRangesItEndsSometime) {
  stub_.ranges = false;
  for (int i = 0; i < 50; ++i) stub_.faults.push_back({.cut_after = 3 * kMiB});
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

TEST_F(DownloadTest, ExpiredPlacesAreLocatedAgain) {
  stub_.faults = {{}, {.status = 403}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_EQ(stub_.located, 2u);
}

TEST_F(DownloadTest, RefusedForGood) {
  for (int i = 0; i < 20; ++i) stub_.faults.push_back({.status = 403});
  EXPECT_EQ(run().error().code(), ErrorCode::kDenied);
  stub_.faults = {{.status = 404}};
  EXPECT_EQ(run().error().code(), ErrorCode::kNotFound);
}

TEST_F(DownloadTest, RedirectsAreCounted) {
  stub_.faults = {{.status = 302, .location = "/y"}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  ASSERT_TRUE(fs_.remove(options_.path).ok());
  for (int i = 0; i < 20; ++i) stub_.faults.push_back({.status = 302, .location = "/y"});
  EXPECT_EQ(run().error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(stub_.faults.size(), 9u);  // ten were followed, the eleventh was not
}

TEST_F(DownloadTest, AFetcherThatDiesIsReplaced) {
  stub_.faults = {{}, {.die = true}, {}, {.die = true}};
  ASSERT_TRUE(run().ok());
  expect_whole();
  EXPECT_GE(stub_.links, 3u);
}

TEST_F(DownloadTest, AServerThatIsNotThereEndsIt) {
  for (int i = 0; i < 50; ++i) stub_.faults.push_back({.no_answer = true});
  const Status status = run();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(status.error().hint().find("resume"), std::string::npos);
}

TEST_F(DownloadTest, SmallFilesByTheirGitName) {
  stub_.content = "{\"model_type\": \"llama\"}\n";
  use_content();
  options_.sha256.reset();
  // `printf '{"model_type": "llama"}\n' | git hash-object --stdin`
  options_.git_id = "9eddb62b076f586b2186445e7872e5a05f0dfe06";
  ASSERT_TRUE(run().ok());
  expect_whole();
  ASSERT_TRUE(fs_.remove(options_.path).ok());
  options_.git_id[0] = options_.git_id[0] == '0' ? '1' : '0';
  EXPECT_EQ(run().error().code(), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace holdfast::fetch
