#include "holdfast/http/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/http/sse.h"
#include "holdfast/http/target.h"

namespace holdfast::http {
namespace {

using State = RequestParser::State;

struct Parsed {
  State state;
  int status = 0;
  Request request;
  std::string rest;
};

Parsed parse(std::string_view text, std::size_t step = std::string::npos,
             ParserLimits limits = {}) {
  RequestParser parser(limits);
  std::string buffer;
  std::size_t at = 0;
  while (true) {
    const std::size_t n = parser.feed(buffer);
    buffer.erase(0, n);
    if (parser.state() == State::kDone || parser.state() == State::kFailed) break;
    if (n > 0) continue;
    if (at == text.size()) break;
    const std::string_view more = text.substr(at, step);
    buffer += more;
    at += more.size();
  }
  Parsed out{parser.state(), 0, std::move(parser.request()), buffer + std::string(text.substr(at))};
  if (out.state == State::kFailed) out.status = parser.error().status;
  return out;
}

const std::string kPost =
    "POST //v1/models%2Fx?a=1&b=%20+c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-A:  v "
    "\r\n\r\nhello";
const std::string kChunked =
    "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: dropped\r\n\r\n";

TEST(RequestParser, WholeAndByteByByteAgree) {
  for (const std::string& text : {kPost, kChunked}) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::string::npos}) {
      const Parsed p = parse(text, step);
      ASSERT_EQ(p.state, State::kDone) << step;
      EXPECT_EQ(p.request.body, "hello");
      EXPECT_EQ(p.rest, "");
      EXPECT_EQ(p.request.headers.find("trailer"), nullptr);
    }
  }
  const Parsed p = parse(kPost);
  EXPECT_EQ(p.request.method, "POST");
  EXPECT_EQ(p.request.path, "/v1/models/x");
  EXPECT_EQ(p.request.headers.get("x-a"), "v");
  ASSERT_NE(p.request.query_value("b"), nullptr);
  EXPECT_EQ(*p.request.query_value("b"), "  c");
}

TEST(RequestParser, TruncatedAtEveryByteWaits) {
  for (const std::string& text : {kPost, kChunked}) {
    for (std::size_t n = 0; n < text.size(); ++n) {
      const Parsed p = parse(std::string_view(text).substr(0, n));
      EXPECT_TRUE(p.state == State::kHead || p.state == State::kBody) << n;
    }
  }
}

TEST(RequestParser, LeavesThePipelinedRequest) {
  const Parsed p = parse(kPost + "GET / HTTP/1.1\r\n");
  EXPECT_EQ(p.state, State::kDone);
  EXPECT_EQ(p.rest, "GET / HTTP/1.1\r\n");
}

TEST(RequestParser, RefusesEverySmugglingForm) {
  const std::vector<std::string> heads = {
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "Content-Length: 5\r\nContent-Length: 5\r\n",
      "Content-Length: 5\r\nContent-Length: 6\r\n",
      "Content-Length: 5, 5\r\n",
      "Content-Length: +5\r\n",
      "Content-Length: 0x5\r\n",
      "Content-Length: -1\r\n",
      "Content-Length: \r\n",
      "Content-Length: 99999999999999999999\r\n",
      "Content-Length : 5\r\n",
      "Transfer-Encoding: identity\r\n",
      "Transfer-Encoding: gzip, chunked\r\n",
      "Transfer-Encoding: chunked, chunked\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding:\vchunked\r\n",
      "X: a\r\n folded: b\r\n",
      "X: a\nContent-Length: 5\r\n",
      "X: a\rb\r\n",
      std::string("X: a\0b\r\n", 8),
      "X: a\x7f\r\n",
      ": empty\r\n",
      "no colon\r\n",
      "b@d: name\r\n",
      "Host: second\r\n",
  };
  for (const std::string& head : heads) {
    const Parsed p = parse("POST / HTTP/1.1\r\nHost: h\r\n" + head + "\r\n");
    EXPECT_EQ(p.state, State::kFailed) << head;
    EXPECT_EQ(p.status, 400) << head;
  }
}

TEST(RequestParser, RefusesBadRequestLines) {
  const std::vector<std::pair<std::string, int>> lines = {
      {"GET / HTTP/1.1\r\n\r\n", 400},  // no Host
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/1.!\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1,1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/x.1\r\nHost: h\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\r\nHost: h\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {"\x16\x03\x01\x02", 400},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
  };
  for (const auto& [text, status] : lines) {
    const Parsed p = parse(text);
    EXPECT_EQ(p.state, State::kFailed) << text;
    EXPECT_EQ(p.status, status) << text;
  }
  EXPECT_EQ(parse("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").state, State::kDone);
  EXPECT_EQ(parse("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 1).state, State::kDone);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n").state, State::kDone);
  const Parsed absolute = parse("GET http://real/p HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(absolute.request.path, "/p");
  EXPECT_EQ(absolute.request.headers.get("host"), "real");
}

TEST(RequestParser, BadChunks) {
  const std::string head = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& body :
       {std::string("g\r\n"), std::string("-1\r\n"), std::string("3\nabc"),
        std::string("3\r\nabcd\r\n"), std::string("3 \r\nabc\r\n"),
        std::string("ffffffffffffffffff\r\n"), std::string("\r\n"),
        std::string("0x3\r\nabc\r\n")}) {
    // The empty lines end whatever the parser is still waiting for.
    EXPECT_EQ(parse(head + body + "\r\n\r\n").state, State::kFailed) << body;
  }
}

// Beast asserts here unless it is given the end of a last chunk whole.
TEST(RequestParser, LastChunkByteByByte) {
  const std::string head = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(parse(head + "0\r\n\r\n", 1).state, State::kDone);
  EXPECT_EQ(parse(head + "0\r\nA: b\r\n\r\n", 1).state, State::kDone);
  EXPECT_EQ(parse(head + "0\r\nno colon\r\n\r\n", 1).state, State::kFailed);
}

// What is refused, and what is waited for, does not depend on how the bytes were cut.
TEST(RequestParser, BeginningsOfALastChunkAgreeHoweverTheyAreCut) {
  const std::string head = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"0", "0\r", "0\r-", "0\n", "0x", "0;", "0\r\n", "0\r\nX", "0\r\n\r",
                           "0x\r\n", "0\r--", "0\r---", "0x\r\n\r\n", "00\r\n\r\n"}) {
    const State whole = parse(head + body).state;
    EXPECT_EQ(parse(head + body, 1).state, whole) << body;
    EXPECT_EQ(parse(head + body, 3).state, whole) << body;
  }
  // A body that is not chunked may be as short.
  EXPECT_EQ(parse("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n0", 1).state,
            State::kDone);
}

TEST(RequestParser, LimitsAtAndAbove) {
  const auto line = [](std::size_t bytes) {
    const std::string text = "GET / HTTP/1.1";
    return "GET /" + std::string(bytes - text.size(), 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  EXPECT_EQ(parse(line(8192)).state, State::kDone);
  EXPECT_EQ(parse(line(8193)).status, 431);
  EXPECT_EQ(parse("GET /" + std::string(9000, 'a')).status, 431);  // before the line has ended

  const auto fields = [](int n) {
    std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int i = 1; i < n; ++i) text += "a: b\r\n";
    return text + "\r\n";
  };
  EXPECT_EQ(parse(fields(64)).state, State::kDone);
  EXPECT_EQ(parse(fields(65)).status, 431);

  const auto bytes = [](std::size_t n) {
    const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nx: ";
    return start + std::string(n - start.size() - 4, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(parse(bytes(32768)).state, State::kDone);
  EXPECT_EQ(parse(bytes(32769)).status, 431);
}

TEST(RequestParser, BodyLimitsAtAndAbove) {
  ParserLimits limits;
  limits.body_bytes_max = 10;
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(parse(head + "Content-Length: 10\r\n\r\n0123456789", 1, limits).state, State::kDone);
  EXPECT_EQ(parse(head + "Content-Length: 11\r\n\r\n", 1, limits).status, 413);
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(parse(chunked + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 1, limits).state,
            State::kDone);
  EXPECT_EQ(parse(chunked + "5\r\n01234\r\n6\r\n", 1, limits).status, 413);
  EXPECT_EQ(parse(chunked + "b\r\n", 1, limits).status, 413);
  EXPECT_EQ(parse(chunked + "fffffffffffffffb\r\n", 1, limits).status, 413);

  const auto extension = [&](std::size_t n) {
    return parse(chunked + "1;" + std::string(n, 'e') + "\r\na\r\n0\r\n\r\n").state;
  };
  EXPECT_EQ(extension(250), State::kDone);
  EXPECT_EQ(extension(400), State::kFailed);
  EXPECT_EQ(parse(chunked + "1;" + std::string(400, 'e'), 1).state, State::kFailed);
  EXPECT_EQ(parse(chunked + "0\r\nT: " + std::string(400, 'e'), 1).state, State::kFailed);
}

TEST(ResponseParser, LengthChunkedCloseAndInterim) {
  std::string body;
  ResponseParser fixed;
  const std::string text =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  std::string buffer;
  for (const char c : text) {
    buffer += c;
    buffer.erase(0, fixed.feed(buffer, body));
  }
  EXPECT_EQ(fixed.state(), ResponseParser::State::kDone);
  EXPECT_EQ(fixed.status(), 200);
  EXPECT_EQ(body, "hi");

  ResponseParser until_close;
  body.clear();
  until_close.feed("HTTP/1.1 200 OK\r\n\r\nabc", body);
  EXPECT_EQ(until_close.state(), ResponseParser::State::kBody);
  until_close.feed_end();
  EXPECT_EQ(until_close.state(), ResponseParser::State::kDone);
  EXPECT_EQ(body, "abc");

  ResponseParser cut;
  cut.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", body);
  cut.feed_end();
  EXPECT_EQ(cut.state(), ResponseParser::State::kFailed);
}

TEST(Target, EncodingRoundTrip) {
  const std::string id = "org/näme:tag+x y%";
  auto target = parse_target("/v1/models/" + percent_encode_path(id));
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->path, "/v1/models/" + id);
  EXPECT_EQ(parse_target("///v1//models///")->path, "/v1/models/");
  std::string many = "/?";
  for (int i = 0; i < 64; ++i) many += "a&";
  EXPECT_TRUE(parse_target(many).ok());
  EXPECT_FALSE(parse_target(many + "a").ok());
}

TEST(Sse, WriterAndReaderAgree) {
  std::vector<std::pair<std::string, std::string>> events;
  SseReader reader([&](std::string_view e, std::string_view d) { events.emplace_back(e, d); });
  const std::string text = sse_frame("{\"a\":1}") + std::string(kSsePing) +
                           sse_frame("x\ny", "error") + "data:z\r\n\r\n";
  for (const char c : text) reader.feed({&c, 1});
  EXPECT_THAT(events, testing::ElementsAre(testing::Pair("", "{\"a\":1}"),
                                           testing::Pair("error", "x\ny"), testing::Pair("", "z")));
}

}  // namespace
}  // namespace holdfast::http
