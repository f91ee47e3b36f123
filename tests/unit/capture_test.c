/* capture_test.c - what a process prints arrives as lines, also its last words before a crash. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/capture.h"
#include "unit.h"

static struct heard {
    volatile size_t n;
    char            text[8192]; // lines, each with a newline
} *heard;

static void on_line(void *ctx, struct str line)
{
    struct heard *h = ctx;

    if (h->n + line.n + 1 > sizeof h->text) return;
    memcpy(h->text + h->n, line.p, line.n);
    h->text[h->n + line.n] = '\n';
    h->n += line.n + 1;
}

/* Run fn with its output captured, wait until the reader has it all; the exit status. */
static int run(void (*fn)(void))
{
    int  status, end[2];
    char c;

    memset(heard, 0, sizeof *heard);
    assert_int_equal(pipe(end), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = { 0, 0 };
        struct err          e;
        close(end[0]);
        setrlimit(RLIMIT_CORE, &no_core);
        if (capture_start(on_line, heard, &e) < 0) _exit(99);
        fn();
        _exit(0);
    }
    close(end[1]);
    ssize_t n = read(end[0], &c, 1); // the end of both processes: nobody holds the other side any more
    assert_int_equal(n, 0);
    close(end[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void wait_for(const char *want)
{
    for (int i = 0; i < 5000 && strcmp(heard->text, want) != 0; i++) usleep(1000);
    assert_string_equal(heard->text, want);
}

static void say_lines(void)
{
    printf("one\n\033[1;31mtwo\033[0m\r\n\n");
    dprintf(2, "three\ttab\a\n");
    printf("half ");
    fflush(stdout);
    dprintf(1, "a line\nno end");
    capture_flush(5000);
    _exit(strcmp(heard->text, "one\ntwo\nthreetab\nhalf a line\nno end\n") == 0 ? 7 : 8); // all is there by now
}

static void crash(void)
{
    dprintf(2, "last words");
    signal(SIGSEGV, SIG_DFL); // the test library catches it
    raise(SIGSEGV);
}

static void leave(void)
{
    dprintf(1, "bye\n");
    _exit(5);
}

static void say_much(void)
{
    for (int i = 0; i < 3000; i++) dprintf(1, "x");
    dprintf(1, "\n");
}

static void test_lines(void **state)
{
    (void)state;
    int status = run(say_lines);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void test_last_words(void **state)
{
    (void)state;
    assert_true(WIFSIGNALED(run(crash)));
    wait_for("last words\n");
    run(leave);
    wait_for("bye\n");
}

static void test_long_line(void **state)
{
    (void)state;
    run(say_much);
    for (int i = 0; i < 5000 && heard->n < 3003; i++) usleep(1000);
    assert_int_equal(heard->n, 3003); // 1024 + 1024 + 952, and their ends
    assert_int_equal(heard->text[CAPTURE_LINE_BYTES], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines), cmocka_unit_test(test_last_words),
                                        cmocka_unit_test(test_long_line) };

    heard = mmap(NULL, sizeof *heard, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (heard == MAP_FAILED) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
