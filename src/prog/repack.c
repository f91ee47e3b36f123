/* repack.c - see repack.h. */
#include "prog/repack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "kern/kern.h"
#include "os/fd.h"

int repack_prepare(const char *dir, struct err *e)
{
    struct stat st;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, ERR_BAD_CONFIG, "--repack-cache %s: %s", dir, err_errno(errno));
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || access(dir, W_OK | X_OK) < 0)
        return err_set(e, ERR_BAD_CONFIG, "--repack-cache %s: not a directory that this user can write to", dir);
    return 0;
}

static uint64_t hash(const void *p, size_t n)
{
    static const uint64_t key[2] = { 0x6375726c6577, 0x7270 };
    return map_hash(key, (struct str){ p, n });
}

/* Files of this model's path that are of another state of it, or left by a server that is gone. */
static void remove_old(const char *dir, const char *prefix, const char *keep)
{
    DIR *d = opendir(dir);

    if (!d) return;
    for (struct dirent *f; (f = readdir(d));) {
        const char *tmp = strstr(f->d_name, ".tmp");
        int64_t     pid;
        char        path[4400];
        if (strncmp(f->d_name, prefix, strlen(prefix)) || !strcmp(f->d_name, keep)) continue;
        if (tmp && (!str_to_i64(str_c(tmp + 4), &pid) || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH))
            continue; // being written
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        if (unlink(path) == 0) log_info("repack_cache_removed", "file=%s", f->d_name);
    }
    closedir(d);
}

/* One that is there: ours alone, or it is left alone. */
static void open_there(struct repack *r)
{
    struct stat st;
    int         fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) return;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022) {
        log_warn("repack_cache_refused", "file=%s not a file that only this user can write", r->path);
        fd_close(&fd);
        return;
    }
    r->cache = (struct engine_cache){ .fd = fd, .size = (uint64_t)st.st_size, .state = ENGINE_CACHE_THERE };
}

void repack_open(struct repack *r, const char *dir, const struct model_spec *m)
{
    char        full[4096], prefix[200], name[256];
    struct stat st;

    *r = (struct repack){ .cache = { .fd = -1 } };
    if (!dir || !strcmp(dir, "off") || !realpath(m->path, full) || fstat(m->fd, &st) < 0) return;
    const uint64_t is[] = { KERN_LAYOUT, st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                            (uint64_t)st.st_mtim.tv_nsec };
    snprintf(prefix, sizeof prefix, "%.100s.%016llx.", m->base, (unsigned long long)hash(full, strlen(full)));
    snprintf(name, sizeof name, "%s%016llx.repack", prefix, (unsigned long long)hash(is, sizeof is));
    if (snprintf(r->path, sizeof r->path, "%s/%s", dir, name) >= (int)sizeof r->path) return;
    remove_old(dir, prefix, name);
    if (access(r->path, F_OK) == 0) {
        open_there(r);
        return;
    }
    snprintf(r->tmp, sizeof r->tmp, "%s.tmp%d", r->path, (int)getpid());
    unlink(r->tmp);
    int fd = open(r->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        log_warn("repack_cache_not_made", "file=%s error=\"%s\"", r->tmp, err_errno(errno));
        r->tmp[0] = 0;
        return;
    }
    r->cache = (struct engine_cache){ .fd = fd, .state = ENGINE_CACHE_WANTED };
}

void repack_settle(struct repack *r, enum engine_cache_state state)
{
    if (r->cache.fd >= 0 && state == ENGINE_CACHE_STALE && r->cache.state == ENGINE_CACHE_THERE && unlink(r->path) == 0)
        log_info("repack_cache_removed", "file=%s", r->path);
    if (state == ENGINE_CACHE_WRITTEN && r->tmp[0]) {
        if (rename(r->tmp, r->path) == 0)
            r->tmp[0] = 0;
        else
            log_warn("repack_cache_not_made", "file=%s error=\"%s\"", r->path, err_errno(errno));
    }
    repack_close(r);
}

void repack_close(struct repack *r)
{
    if (r->tmp[0]) unlink(r->tmp);
    r->tmp[0] = 0;
    fd_close(&r->cache.fd);
}
