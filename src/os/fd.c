/* fd.c - open files and listeners with errors a person can act on. */
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

void fd_close(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void fd_fill_std(void)
{
    int fd = open("/dev/null", O_RDWR); // takes the lowest that is free

    while (fd >= 0 && fd <= STDERR_FILENO) fd = open("/dev/null", O_RDWR);
    fd_close(&fd);
}

int fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    return 0;
}

int fd_open_file(const char *path, int *ret_fd, uint64_t *ret_size, struct err *e)
{
    struct stat st;
    int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hang us

    if (fd < 0 && errno == EACCES)
        return err_set(e, ERR_IO, "%s: permission denied (this process runs as uid %d)", path,
                       (int)getuid());
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, err_errno(errno));
    if (fstat(fd, &st) < 0) {
        int err = errno;
        close(fd);
        return err_set(e, ERR_IO, "%s: %s", path, err_errno(err));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_IO, "%s: is %s, not a file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
    }
    if (st.st_size == 0) {
        close(fd);
        return err_set(e, ERR_IO, "%s: the file is empty", path);
    }
    *ret_fd   = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int fd_read_all(int fd, const char *name, size_t max, struct arena *a, struct str *ret, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0) return err_set(e, ERR_IO, "%s: %s", name, err_errno(errno));
    if ((uint64_t)st.st_size > max)
        return err_set(e, ERR_TOO_LARGE, "%s: %lld bytes, the limit is %zu", name,
                       (long long)st.st_size, max);

    size_t size = (size_t)st.st_size, at = 0;
    char  *p    = arena_alloc(a, size + 1);
    if (!p) return err_nomem(e, "reading a file");
    while (at < size) {
        ssize_t got = pread(fd, p + at, size - at, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(e, ERR_IO, "%s: %s", name, err_errno(errno));
        if (got == 0) break; // cut short since fstat: what is there is what we take
        at += (size_t)got;
    }
    p[at] = 0;
    *ret  = (struct str){ p, at };
    return 0;
}

int fd_read_file(const char *path, size_t max, struct arena *a, struct str *ret, struct err *e)
{
    int      fd;
    uint64_t size;
    int      rc = fd_open_file(path, &fd, &size, e);

    if (rc < 0) return rc;
    rc = fd_read_all(fd, path, max, a, ret, e);
    close(fd);
    return rc;
}

bool fd_host_is_loopback(const char *host)
{
    struct in_addr  v4;
    struct in6_addr v6;

    if (host[0] == '/' || !strcmp(host, "localhost")) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
    return false;
}

static int listen_unix(const char *path, int *ret_fd, struct err *e)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct stat        st;

    if (strlen(path) >= sizeof sa.sun_path)
        return err_set(e, ERR_BAD_CONFIG, "socket path %s is %zu bytes, the limit is %zu", path,
                       strlen(path), sizeof sa.sun_path - 1);
    str_copy_z(sa.sun_path, sizeof sa.sun_path, str_c(path));

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set(e, ERR_IO, "socket: %s", err_errno(errno));
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EAGAIN) {
            close(fd);
            return err_set(e, ERR_IO, "%s: another process listens on this socket", path);
        }
        unlink(path); // nobody answers: left over from a process that was killed
        close(fd);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return err_set(e, ERR_IO, "socket: %s", err_errno(errno));
    }
    mode_t old = umask(0177);
    int    rc  = bind(fd, (struct sockaddr *)&sa, sizeof sa);
    int    err = errno;
    umask(old);
    if (rc < 0 || listen(fd, BACKLOG) < 0) {
        if (rc == 0) err = errno;
        close(fd);
        return err_set(e, ERR_IO, "%s: cannot listen: %s", path, err_errno(err));
    }
    *ret_fd = fd;
    return 0;
}

static int bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t               n = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0) return 0;
    if (sa.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static int listen_one(const struct addrinfo *ai)
{
    int one = 1;
    int fd  = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

int fd_listen(const char *host, int port, int *ret_fd, int *ret_port, struct err *e)
{
    struct addrinfo  hint = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list;
    char             service[16];

    *ret_port = 0;
    if (host[0] == '/') return listen_unix(host, ret_fd, e);

    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hint, &list);
    if (rc != 0)
        return err_set(e, ERR_BAD_CONFIG, "host %s cannot be resolved: %s", host, gai_strerror(rc));

    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) fd = listen_one(ai);
    freeaddrinfo(list);
    if (fd == -EADDRINUSE)
        return err_set(e, ERR_IO, "%s:%d is in use by another process; stop it or choose another "
                       "port with --port", host, port);
    if (fd == -EACCES)
        return err_set(e, ERR_IO, "%s:%d: ports below 1024 need more rights; choose another with "
                       "--port", host, port);
    if (fd < 0)
        return err_set(e, ERR_IO, "cannot listen on %s:%d: %s", host, port, err_errno(-fd));
    *ret_fd   = fd;
    *ret_port = bound_port(fd);
    return 0;
}
