// The line editor: keys, editing, rows, and the whole on a pseudo-terminal.
#include "holdfast/platform/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <thread>

#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {
namespace {

std::vector<KeyPress> keys_of(std::string_view bytes) {
  KeyDecoder decoder;
  std::vector<KeyPress> out;
  for (const char c : bytes) {  // one byte at a time: every cut must be survived
    decoder.feed({&c, 1});
    while (auto press = decoder.next(false)) out.push_back(*press);
  }
  while (auto press = decoder.next(true)) out.push_back(*press);
  return out;
}

TEST(KeyDecoder, SequencesAndText) {
  const auto keys = keys_of("a\x1b[D\x1bOC\x1b[3~\x1b[1;5C\x1b[99;99Z\xc3\xa4\r\x03");
  std::vector<Key> kinds;
  for (const auto& k : keys) kinds.push_back(k.key);
  EXPECT_EQ(kinds,
            (std::vector<Key>{Key::kText, Key::kLeft, Key::kRight, Key::kDelete, Key::kWordRight,
                              Key::kNone, Key::kText, Key::kEnter, Key::kInterrupt}));
  EXPECT_EQ(keys[6].text, "\xc3\xa4");
}

TEST(KeyDecoder, PasteIsOneTextWithLineBreaks) {
  const auto keys = keys_of("\x1b[200~one\rtwo\x03\x1b[201~x");
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].text, "one\ntwo\x03");
  EXPECT_EQ(keys[1].text, "x");
}

TEST(KeyDecoder, LoneEscapeAndBadBytesEnd) {
  EXPECT_EQ(keys_of("\x1b").at(0).key, Key::kNone);
  EXPECT_EQ(keys_of("\xff").at(0).text, "\xef\xbf\xbd");
  EXPECT_FALSE(keys_of("\x1b[" + std::string(100, '1')).empty());
}

TEST(LineBuffer, EditsWholeCharacters) {
  LineBuffer b;
  b.insert("h\xc3\xa4\xe4\xb8\x96!");
  b.apply(Key::kLeft);
  b.apply(Key::kBackspace);
  EXPECT_EQ(b.text(), "h\xc3\xa4!");
  b.apply(Key::kLeft);
  b.apply(Key::kDelete);
  EXPECT_EQ(b.text(), "h!");
  b.set("one two  three");
  b.apply(Key::kWordLeft);
  EXPECT_EQ(b.cursor(), 9u);
  b.apply(Key::kKillWord);
  EXPECT_EQ(b.text(), "one three");
  b.apply(Key::kKillToEnd);
  EXPECT_EQ(b.text(), "one ");
  b.apply(Key::kKillToStart);
  EXPECT_EQ(b.text(), "");
  b.apply(Key::kBackspace);
  b.apply(Key::kLeft);
  b.apply(Key::kDelete);
  EXPECT_EQ(b.cursor(), 0u);
  EXPECT_FALSE(b.insert(std::string(kEditedLineBytesMax + 1, 'x')));
}

TEST(RenderLine, WrapsWideCharactersAndPlacesTheCursor) {
  LineBuffer b;
  b.set("abcdefgh");
  auto r = render_line("> ", b, 10);
  EXPECT_EQ(r.rows, 2u);  // the cursor after the last column needs a row
  EXPECT_EQ(r.cursor_row, 1u);
  EXPECT_EQ(r.cursor_column, 0u);
  b.set("abcdefg\xe4\xb8\x96");  // one column left, two needed
  r = render_line("> ", b, 10);
  EXPECT_EQ(r.output, "> abcdefg\r\n\xe4\xb8\x96");
  EXPECT_EQ(r.cursor_column, 2u);
  b.set("a\nb\x01");
  r = render_line("> ", b, 10);
  EXPECT_EQ(r.output, "> a\r\nb^A");
}

class Terminal {
 public:
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (!master.valid() || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0) return;
    slave.reset(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  }
  void type(std::string_view keys) {
    ASSERT_EQ(::write(master.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  UniqueFd master, slave;
};

// Types once raw mode was announced: what is still unread of the line before has a prompt in it,
// too.
Result<std::optional<std::string>> read_typed(Terminal& t, LineEditor& editor,
                                              std::string_view keys) {
  std::thread typist([&] {
    std::string shown;
    char c[256];
    while (shown.find("\x1b[?2004h") == std::string::npos) {
      const ssize_t n = ::read(t.master.get(), c, sizeof c);
      if (n <= 0) return;
      shown.append(c, static_cast<std::size_t>(n));
    }
    t.type(keys);
  });
  auto line = editor.read_line("> ");
  typist.join();
  return line;
}

TEST(LineEditor, OnAPseudoTerminal) {
  Terminal t;
  if (!t.slave.valid()) GTEST_SKIP() << "no pseudo-terminals here";
  termios before{}, after{};
  ASSERT_EQ(::tcgetattr(t.slave.get(), &before), 0);
  LineEditor editor(t.slave.get(), t.slave.get());
  EXPECT_EQ(**read_typed(t, editor, "hellp\x7fo\r"), "hello");
  editor.add_history("hello");
  EXPECT_EQ(**read_typed(t, editor, "draft\x1b[A!\r"), "hello!");
  EXPECT_EQ(**read_typed(t, editor, "draft\x1b[A\x1b[B.\r"), "draft.");
  EXPECT_EQ(read_typed(t, editor, "x\x03").error().code(), ErrorCode::kCancelled);
  EXPECT_FALSE(read_typed(t, editor, "\x04")->has_value());
  EXPECT_EQ(**read_typed(t, editor, "two\x1b\rlines\r"), "two\nlines");
  t.type("ahead\r");
  EXPECT_EQ(**editor.read_line("> "), "ahead");
  ASSERT_EQ(::tcgetattr(t.slave.get(), &after), 0);
  EXPECT_EQ(before.c_lflag, after.c_lflag);
}

TEST(LineEditor, InterruptDescriptorEndsIt) {
  Terminal t;
  if (!t.slave.valid()) GTEST_SKIP() << "no pseudo-terminals here";
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]), write_end(ends[1]);
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  LineEditor editor(t.slave.get(), t.slave.get());
  EXPECT_EQ(editor.read_line("> ", read_end.get()).error().code(), ErrorCode::kUnavailable);
}

TEST(LineEditor, PlainInput) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ASSERT_EQ(::write(write_end.get(), "one\r\n\nlast", 10), 10);
  write_end.reset();
  LineEditor editor(read_end.get(), -1);
  EXPECT_EQ(**editor.read_line("> "), "one");
  EXPECT_EQ(**editor.read_line("> "), "");
  EXPECT_EQ(**editor.read_line("> "), "last");
  EXPECT_FALSE(editor.read_line("> ")->has_value());
}

}  // namespace
}  // namespace holdfast::platform
