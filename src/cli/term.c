#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"

/* The alternate screen, the cursor hidden, no wrapping at the right edge; and back. */
static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
static const char leave_text[] = "\033[?7h\033[?25h\033[?1049l";

static struct {
    struct loop *loop;
    term_key_fn *key;
    loop_fn *resized;
    void *user;
    struct termios before; /* of standard input */
    bool has_keys;
    volatile sig_atomic_t is_shown;
    bool is_at_exit; /* leave is called at exit */
} term;

/* What cannot be written now is lost: the next drawing brings it. */
static void put(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(STDOUT_FILENO, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        bytes += done;
        size -= (size_t)done;
    }
}

static void enter(void)
{
    if (term.is_shown)
        return;
    if (term.has_keys) {
        struct termios raw = term.before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    put(enter_text, sizeof enter_text - 1);
    term.is_shown = 1;
}

/* Only what a signal handler may call. */
static void leave(void)
{
    if (!term.is_shown)
        return;
    term.is_shown = 0;
    put(leave_text, sizeof leave_text - 1);
    if (term.has_keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &term.before);
}

static void on_fatal(int signo)
{
    leave();
    (void)raise(signo); /* the handler is reset: the program ends by it */
}

static void on_input(void *user, int fd, unsigned events)
{
    char keys[32];
    (void)user;
    ssize_t count = events & LOOP_READ ? read(fd, keys, sizeof keys) : 0;
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (count <= 0)
        loop_remove(term.loop, fd);
    for (ssize_t i = 0; i < count && term.is_shown; i++) {
        if (keys[i] == '\033') /* an arrow or a function key: a sequence of its own */
            return;
        term.key(term.user, keys[i]);
    }
}

static void on_resize(void *user, int signo)
{
    (void)signo;
    term.resized(user);
}

static void on_stop(void *user, int signo)
{
    (void)signo;
    leave();
    (void)raise(SIGSTOP);
    enter(); /* it goes on */
    term.resized(user);
}

bool term_is_usable(void)
{
    const char *name = getenv("TERM");
    return isatty(STDOUT_FILENO) && name && strcmp(name, "dumb") != 0;
}

int term_open(struct loop *loop, term_key_fn *key, loop_fn *resized, void *user, struct error *err)
{
    static const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    bool is_at_exit = term.is_at_exit;
    memset(&term, 0, sizeof term);
    term.loop = loop;
    term.key = key;
    term.resized = resized;
    term.user = user;
    term.has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &term.before) == 0;
    int rc = loop_signal(loop, SIGWINCH, on_resize, user, err);
    if (rc == 0)
        rc = loop_signal(loop, SIGTSTP, on_stop, user, err);
    if (rc == 0 && term.has_keys)
        rc = loop_add(loop, STDIN_FILENO, LOOP_READ, on_input, user, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        (void)sigaction(fatal[i], &(struct sigaction){.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND}, NULL);
    term.is_at_exit = is_at_exit || atexit(leave) == 0;
    enter();
    return 0;
}

void term_close(void)
{
    if (!term.loop)
        return;
    leave();
    if (term.has_keys)
        loop_remove(term.loop, STDIN_FILENO);
    term.loop = NULL;
}

void term_size(unsigned *ret_columns, unsigned *ret_lines)
{
    struct winsize size = {0};
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *ret_columns = is_known ? size.ws_col : 80;
    *ret_lines = is_known ? size.ws_row : 24;
}

void term_draw(const char *text)
{
    unsigned columns, lines;
    struct buf out;
    if (!term.is_shown)
        return;
    term_size(&columns, &lines);
    buf_init(&out, 1 << 20);
    buf_puts(&out, "\033[H");
    unsigned line = 0;
    for (; *text && line < lines; line++) {
        size_t length = strcspn(text, "\n");
        buf_put(&out, text, length < columns ? length : columns);
        buf_puts(&out, length < columns ? "\033[K" : "");
        buf_puts(&out, line + 1 < lines ? "\r\n" : "");
        text += length + (text[length] == '\n');
    }
    buf_puts(&out, line < lines ? "\033[J" : "");
    put((const char *)out.data, out.size); /* all at once: nothing flickers */
    buf_done(&out);
}
