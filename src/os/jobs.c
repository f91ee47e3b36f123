/* jobs.c - a thread, two lists and an eventfd. */
#include "os/jobs.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct job {
    struct job *next;
    job_fn     *work, *done;
    void       *ctx;
};

struct list {
    struct job *first, **last;
};

struct jobs {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    int             fd;
    struct event   *ev;
    struct list     todo, finished; // under lock
    bool            quit;           // under lock
};

static void push(struct list *l, struct job *j)
{
    j->next  = NULL;
    *l->last = j;
    l->last  = &j->next;
}

static struct job *pop(struct list *l)
{
    struct job *j = l->first;

    if (!j) return NULL;
    l->first = j->next;
    if (!l->first) l->last = &l->first;
    return j;
}

static void *jobs_thread(void *arg)
{
    struct jobs *js  = arg;
    uint64_t     one = 1;

    pthread_mutex_lock(&js->lock);
    for (;;) {
        struct job *j = pop(&js->todo);
        if (!j) {
            if (js->quit) break;
            pthread_cond_wait(&js->wake, &js->lock);
            continue;
        }
        pthread_mutex_unlock(&js->lock);
        j->work(j->ctx);
        pthread_mutex_lock(&js->lock);
        push(&js->finished, j);
        ssize_t done = write(js->fd, &one, sizeof one);
        (void)done; // full means the loop knows already
    }
    pthread_mutex_unlock(&js->lock);
    return NULL;
}

static void deliver(struct jobs *js)
{
    struct job *j;

    for (;;) {
        pthread_mutex_lock(&js->lock);
        j = pop(&js->finished);
        pthread_mutex_unlock(&js->lock);
        if (!j) return;
        j->done(j->ctx);
        mem_free(j);
    }
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    uint64_t n;
    (void)what;

    ssize_t got = read(fd, &n, sizeof n);
    (void)got;
    deliver(arg);
}

int jobs_new(struct event_base *base, struct jobs **ret, struct err *e)
{
    struct jobs *js = mem_zalloc(sizeof *js);

    if (!js) return err_nomem(e, "starting a job thread");
    js->todo.last     = &js->todo.first;
    js->finished.last = &js->finished.first;
    pthread_mutex_init(&js->lock, NULL);
    pthread_cond_init(&js->wake, NULL);
    js->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (js->fd >= 0) js->ev = event_new(base, js->fd, EV_READ | EV_PERSIST, on_finished, js);
    if (!js->ev || event_add(js->ev, NULL) < 0 || pthread_create(&js->thread, NULL, jobs_thread, js) != 0) {
        if (js->ev) event_free(js->ev);
        if (js->fd >= 0) close(js->fd);
        mem_free(js);
        return err_set(e, ERR_IO, "cannot start a job thread: %s", err_errno(errno));
    }
    *ret = js;
    return 0;
}

void jobs_free(struct jobs *js)
{
    if (!js) return;
    pthread_mutex_lock(&js->lock);
    js->quit = true;
    pthread_cond_signal(&js->wake);
    pthread_mutex_unlock(&js->lock);
    pthread_join(js->thread, NULL);
    deliver(js);
    event_free(js->ev);
    close(js->fd);
    pthread_cond_destroy(&js->wake);
    pthread_mutex_destroy(&js->lock);
    mem_free(js);
}

int jobs_run(struct jobs *js, job_fn *work, job_fn *done, void *ctx, struct err *e)
{
    struct job *j = mem_zalloc(sizeof *j);

    if (!j) return err_nomem(e, "starting a job");
    *j = (struct job){ .work = work, .done = done, .ctx = ctx };
    pthread_mutex_lock(&js->lock);
    push(&js->todo, j);
    pthread_cond_signal(&js->wake);
    pthread_mutex_unlock(&js->lock);
    return 0;
}
