// First process of the emulated machine that tools/test_avx512 starts: runs /kernels_test with the arguments that the
// kernel hands over, says how it ended on the serial line, and switches the machine off.
#include <stdio.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  (void)argc;
  mount("proc", "/proc", "proc", 0, NULL);
  const pid_t test = fork();
  if (test == 0) {
    char* environment[] = {"HOLDFAST_EXPECT_ISA=avx512", NULL};
    execve("/kernels_test", argv, environment);
    _exit(127);
  }
  int status = 0;
  waitpid(test, &status, 0);
  printf("test-ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  fflush(stdout);
  sleep(1);  // the serial line drains
  iopl(3);
  for (const char* word = "Shutdown"; *word != '\0'; ++word) outb(*word, 0x8900);  // bochs ends at this word
  for (;;) pause();
}
