/* axera_log.c - bytes of a terminal to lines. */
#include "engines/axera/axera_log.h"

#include "base/limits.h"

void axera_log_init(struct axera_log *l)
{
    *l = (struct axera_log){ 0 };
    buf_init(&l->line, AXERA_LINE_BYTES);
}

void axera_log_release(struct axera_log *l)
{
    buf_release(&l->line);
}

static void keep_error(struct axera_log *l, struct str line)
{
    static const char *const words[] = { "[E]", "rror", "fail", "Fail", "cannot start" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_find(line, str_c(words[i])) != SIZE_MAX) {
            str_copy_z(l->error, sizeof l->error, line);
            return;
        }
}

static void end_line(struct axera_log *l, axera_line_fn *fn, void *ctx)
{
    struct str line = str_trim(buf_text(&l->line));

    if (line.n) {
        keep_error(l, line);
        fn(ctx, line);
    }
    buf_clear(&l->line);
}

void axera_log_put(struct axera_log *l, struct str bytes, axera_line_fn *fn, void *ctx)
{
    for (size_t i = 0; i < bytes.n; i++) {
        char c = bytes.p[i];
        if (c == '\n' || c == '\r') l->escape = 0; // a sequence that never ended hides no line
        if (l->escape) { // ESC [ parameters letter
            l->escape = l->escape == 1 ? (c == '[' ? 2 : 0) : (c >= 0x40 && c <= 0x7e ? 0 : 2);
        } else if (c == 0x1b) {
            l->escape = 1;
        } else if (c == '\n' || c == '\r') {
            end_line(l, fn, ctx);
        } else {
            buf_byte(&l->line, c); // a full buffer takes no more until the line ends
        }
    }
}

bool axera_log_number(struct str line, const char *key, int *ret)
{
    size_t  at = str_find(line, str_c(key));
    int64_t n;

    if (at == SIZE_MAX) return false;
    struct str s = str_from(line, at + str_c(key).n);
    while (s.n && (s.p[0] == ' ' || s.p[0] == ':')) s = str_from(s, 1);
    size_t len = 0;
    while (len < s.n && len < 9 && s.p[len] >= '0' && s.p[len] <= '9') len++;
    if (!len || !str_to_i64(str_sub(s, 0, len), &n)) return false;
    *ret = (int)n;
    return true;
}
