/* admin_key.c - the admin key from its file. */
#include "prog/admin_key.h"

#include "base/limits.h"
#include "os/fd.h"

int admin_key_read(const struct settings *s, char dst[ADMIN_KEY_MAX + 1], struct err *e)
{
    struct arena a;
    struct str   key;

    dst[0] = 0;
    if (!s->admin_key_file) return 0;
    arena_init(&a, KIB(4));
    int rc = fd_read_file(s->admin_key_file, ADMIN_KEY_MAX, &a, &key, e);
    if (rc == 0) {
        key = str_trim(key);
        if (key.n < ADMIN_KEY_MIN || str_find_byte(key, 0) != SIZE_MAX)
            rc = err_set(e, ERR_BAD_CONFIG, "%s: an admin key of %zu bytes, %d at least are needed (openssl rand -hex 32 "
                         "makes a good one)", s->admin_key_file, key.n, ADMIN_KEY_MIN);
        else str_copy_z(dst, ADMIN_KEY_MAX + 1, key);
    }
    arena_release(&a);
    return rc;
}
