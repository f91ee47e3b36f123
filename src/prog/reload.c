/* reload.c - a new configuration for a running server.
 *
 * Everything that can fail is done first: the file is read, the models' files are opened. Only then is anything
 * changed. A model whose file, settings and name are the same keeps its worker; of the others the old ones leave
 * when their last requests are over, and the new ones begin to load at once. A model that changed is one that
 * comes and one that stands in for it, of the same name, until the new one is loaded; when that fails, the old one
 * stays.
 */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "json/json.h"
#include "prog/npu.h"
#include "prog/supervisor_int.h"
#include "prog/upstreams.h"

struct plan {
    struct arena      arena; // of the settings
    struct settings   s;
    struct model_list list;
    char              admin_key[ADMIN_KEY_MAX + 1];
    int               keep[LIM_MODELS]; // of each of the list: the index that serves it already, or -1
};

/* --- the parts that the start needs too --- */

void reload_notes(const struct settings *s, const struct model_list *l)
{
    for (int i = 0; i < s->note.n; i++) log_warn("no_effect", "what=\"%s\"", s->note.v[i]);
    for (int i = 0; i < l->n; i++)
        if (l->v[i].why) log_warn("not_served", "file=\"%s\" why=\"%s\"", l->v[i].path, l->v[i].why);
}

/* What a worker is told: the model's settings with the numbers that the machine decides. `same`: to be compared,
 * without what is not worth a new worker. Of a model with upstreams: what the front is told. */
static int pack_conf(const struct supervisor *sv, const struct model_spec *m, bool same, struct arena *a,
                     struct str *ret, struct err *e)
{
    struct settings s = *m->own;
    struct buf      b;

    if (m->n_upstream) return upstreams_pack(m, a, ret, e);

    if (same) s.log_level = 0;
    if (s.threads == 0) s.threads = sv->child_settings.threads;
    if (s.kv_bytes == 0) s.kv_bytes = sv->child_settings.kv_bytes;
    buf_init(&b, KIB(60));
    opt_pack(&b, &s, OPT_WORKER);
    *ret = b.failed ? STR_NULL : arena_str(a, buf_text(&b));
    buf_release(&b);
    return ret->p ? 0 : err_nomem(e, "starting a worker");
}

/* Copies of the names, so that they outlive the settings they came from. */
static int copy_names(struct model_spec *m, struct arena *a, struct err *e)
{
    const char **alias = arena_array(a, (size_t)m->alias.n + 1, sizeof *alias);

    m->id   = arena_str(a, m->id);
    m->path = arena_str(a, str_c(m->path)).p;
    if (!alias || !m->id.p || !m->path) return err_nomem(e, "adding a model");
    for (int i = 0; i < m->alias.n; i++) {
        alias[i] = arena_str(a, str_c(m->alias.v[i])).p;
        if (!alias[i]) return err_nomem(e, "adding a model");
    }
    m->alias.v      = alias;
    const char *cut = strrchr(m->path, '/');
    m->base         = cut && cut[1] ? cut + 1 : m->path;
    m->where        = NULL;
    m->own          = NULL;
    m->upstream     = NULL; // what is in them is packed
    return 0;
}

/* The first number that no NPU model has. */
static int next_npu(const struct supervisor *sv)
{
    for (int n = 0;; n++) {
        bool free = true;
        for (int i = 0; i < sv->n_model; i++) free &= !(sv->model[i].id.p && sv->model[i].npu && sv->served[i].npu_nth == n);
        if (free) return n;
    }
}

int reload_take(struct supervisor *sv, struct model_spec *m, uint32_t place, int *ret_i, struct err *e)
{
    struct model_spec copy = *m;
    struct served     v    = { .place = place, .created = clock_wall_s(), .reasoning_field = m->own->reasoning_field,
                              .npu_nth = -1 };
    int               i    = 0;

    while (i < LIM_MODELS && sv->model[i].id.p) i++;
    if (i == LIM_MODELS)
        return err_set(e, ERR_BAD_CONFIG, "%d models are served or have not ended yet, the limit", LIM_MODELS);
    arena_init(&v.arena, MIB(2));
    int rc = pack_conf(sv, m, false, &v.arena, &v.conf, e);
    if (rc == 0) rc = pack_conf(sv, m, true, &v.arena, &v.same, e);
    if (rc == 0) rc = copy_names(&copy, &v.arena, e);
    if (rc == 0 && copy.npu) rc = npu_domain(m->own, v.npu_nth = next_npu(sv), &v.npu_domain, e);
    if (rc < 0) {
        arena_release(&v.arena);
        return rc;
    }
    m->fd = m->template_fd = -1; // ours now
    m->n_beside = 0;
    sv->model[i]  = copy;
    sv->served[i] = v;
    sv->worker[i] = (struct child){ .pid = 0 };
    if (i >= sv->n_model) sv->n_model = i + 1;
    *ret_i = i;
    return 0;
}

int reload_take_all(struct supervisor *sv, struct model_list *l, struct err *e)
{
    int index, rc = 0;

    for (int i = 0; rc == 0 && i < l->n; i++)
        if (!l->v[i].why) rc = reload_take(sv, &l->v[i], (uint32_t)i, &index, e);
    return rc;
}

/* --- first all that can fail --- */

/* Another one takes its place, perhaps at this moment. */
static bool has_successor(const struct supervisor *sv, int i)
{
    for (int k = 0; k < sv->n_model; k++)
        if (sv->model[k].id.p && !sv->served[k].leaving && sv->served[k].replaces == i + 1 && sv->served[k].told)
            return true;
    return false;
}

/* Which running model is this one? Its file is open. */
static int find_same(const struct supervisor *sv, const struct model_spec *m, struct str same)
{
    for (int i = 0; i < sv->n_model; i++) {
        const struct model_spec *have = &sv->model[i];
        if (!have->id.p || sv->served[i].leaving || sv->worker[i].load_failed || has_successor(sv, i)) continue;
        if (str_eq(have->id, m->id) && str_eq(str_c(have->path), str_c(m->path)) && model_same_files(have, m) &&
            str_eq(sv->served[i].same, same))
            return i;
    }
    return -1;
}

static int match(struct supervisor *sv, struct plan *p, struct err *e)
{
    struct arena tmp;
    int          n_new = 0, n_free = 0, rc = 0;

    arena_init(&tmp, MIB(2));
    for (int i = 0; rc == 0 && i < p->list.n; i++) {
        struct str same;
        p->keep[i] = -1;
        if (p->list.v[i].why) continue;
        if (p->list.v[i].n_upstream && !sv->client)
            rc = err_set(e, ERR_BAD_CONFIG, "the model " STR_FMT " has upstreams, and this server was started without any: "
                         "its front gave up the right to connect; restart it", STR_ARG(p->list.v[i].id));
        if (rc < 0) break;
        arena_clear(&tmp);
        rc = pack_conf(sv, &p->list.v[i], true, &tmp, &same, e);
        if (rc == 0) p->keep[i] = find_same(sv, &p->list.v[i], same);
        n_new += p->keep[i] < 0;
    }
    arena_release(&tmp);
    for (int i = 0; i < LIM_MODELS; i++) n_free += !sv->model[i].id.p;
    if (rc == 0 && n_new > n_free)
        rc = err_set(e, ERR_BAD_CONFIG, "%d new models, but only %d places are free: %d models are served or have not "
                     "ended yet, the limit is %d", n_new, n_free, LIM_MODELS - n_free, LIM_MODELS);
    return rc;
}

static int prepare(struct supervisor *sv, struct plan *p, struct err *e)
{
    const char *rest[1];
    int         n_rest = 0;
    int         rc     = conf_load(sv->first->source, &p->s, &p->arena, rest, &n_rest, e);

    if (rc == 0) rc = models_list(&p->s, &p->arena, &p->list, e);
    if (rc == 0) rc = models_open(&p->list, e);
    if (rc == 0) rc = match(sv, p, e);
    if (rc == 0) rc = admin_key_read(&p->s, p->admin_key, e);
    return rc;
}

/* --- then all that cannot --- */

static void put_name(struct buf *b, struct str id)
{
    if (b->n) buf_byte(b, ',');
    json_put_str(b, id);
}

/* A model that changes is served as it was until it is there as it shall be: is this one a stand-in? */
static bool stands_in(const struct supervisor *sv, const struct plan *p, int i)
{
    if (!sv->worker[i].up || (sv->served[i].replaces && !sv->served[i].told)) return false; // it serves nobody
    for (int k = 0; k < p->list.n; k++) {
        int same = p->keep[k];
        if (p->list.v[k].why) continue;
        if (same < 0 ? !p->list.v[k].n_upstream && str_eq(p->list.v[k].id, sv->model[i].id) : sv->served[same].replaces == i + 1) return true;
    }
    return false;
}

/* The one that serves, or is about to: the last of those that replace each other. */
static int stand_in_of(const struct supervisor *sv, const struct plan *p, struct str id)
{
    int found = -1;

    for (int i = 0; i < sv->n_model; i++) {
        if (!sv->model[i].id.p || sv->served[i].leaving || !str_eq(sv->model[i].id, id) || !stands_in(sv, p, i)) continue;
        if (found < 0 || sv->served[i].replaces) found = i;
    }
    return found;
}

/* Those that no model of the list is. */
static void drop_others(struct supervisor *sv, const struct plan *p, struct buf *gone)
{
    struct err e;

    for (int i = 0; i < sv->n_model; i++) {
        bool kept = false;
        if (!sv->model[i].id.p || sv->served[i].leaving) continue;
        for (int k = 0; !kept && k < p->list.n; k++) kept = p->keep[k] == i;
        if (kept || stands_in(sv, p, i)) continue;
        if (!sv->served[i].replaces) put_name(gone, sv->model[i].id);
        sv->served[i].leaving  = true;
        sv->served[i].replaces = 0;
        if (sv->front.chan && sv->served[i].told) {
            struct buf b;
            buf_init(&b, 4);
            pack_u32(&b, (uint32_t)i);
            if (b.failed || supervisor_send(&sv->front, MSG_DROP, 0, buf_text(&b), &e) < 0)
                log_warn("drop_not_sent", "model=" STR_FMT, STR_ARG(sv->model[i].id));
            buf_release(&b);
        } else {
            supervisor_end_worker(sv, i); // nobody has a request for it
        }
    }
}

/* One that stays: its other names, its place in the list and the front's own settings may be new. */
static void keep_one(struct supervisor *sv, int i, struct model_spec *m, uint32_t place)
{
    struct model_spec *have = &sv->model[i];
    struct served     *v    = &sv->served[i];
    struct model_spec  copy = *have;
    struct arena       a;
    struct str         conf, same;
    struct err         e;

    v->place           = place;
    v->reasoning_field = m->own->reasoning_field;
    copy.alias         = m->alias;
    arena_init(&a, MIB(2));
    same = arena_str(&a, v->same);
    if (!same.p || pack_conf(sv, m, false, &a, &conf, &e) < 0 || copy_names(&copy, &a, &e) < 0) {
        arena_release(&a); // its other names stay as they were
        return;
    }
    arena_release(&v->arena);
    v->arena = a;
    v->conf  = conf; // for the day it is started again
    v->same  = same;
    *have    = copy;
}

static void serve_list(struct supervisor *sv, struct plan *p, struct buf *come, struct buf *stay)
{
    struct err e;
    int        index;

    for (int i = 0; i < p->list.n; i++) {
        struct model_spec *m = &p->list.v[i];
        if (m->why) continue;
        if (p->keep[i] >= 0) {
            index = p->keep[i];
            keep_one(sv, index, m, (uint32_t)i);
            put_name(stay, m->id);
        } else {
            int old = stand_in_of(sv, p, m->id);
            put_name(come, m->id);
            if (reload_take(sv, m, (uint32_t)i, &index, &e) < 0) {
                log_error("model_not_taken", "model=" STR_FMT " error=\"%s\"", STR_ARG(m->id), e.msg);
                continue;
            }
            sv->served[index].replaces = old + 1;
            if (supervisor_start_worker(sv, index, &e) < 0) {
                log_error("worker_start", "model=" STR_FMT " error=\"%s\"", STR_ARG(m->id), e.msg);
                if (sv->worker[index].pid) kill(sv->worker[index].pid, SIGKILL); // half started
                else sv->worker[index].again_us = clock_mono_us() + 1000000;
            }
        }
        if (sv->served[index].replaces && !sv->served[index].told) continue; // the front hears of it when it is loaded
        if (sv->front.chan && supervisor_tell_model(sv, index, &e) < 0)
            log_warn("model_not_told", "model=" STR_FMT " error=\"%s\"", STR_ARG(sv->model[index].id), e.msg);
    }
}

static void report(const struct plan *p, const struct buf *come, const struct buf *stay,
                   const struct buf *gone, const struct buf *later, struct buf *json)
{
    buf_str(json, STR("{\"status\":\"ok\",\"models\":{\"loading\":["));
    buf_str(json, buf_text(come));
    buf_str(json, STR("],\"kept\":["));
    buf_str(json, buf_text(stay));
    buf_str(json, STR("],\"leaving\":["));
    buf_str(json, buf_text(gone));
    buf_str(json, STR("],\"not_served\":["));
    for (int i = 0, n = 0; i < p->list.n; i++) {
        if (!p->list.v[i].why) continue;
        buf_str(json, n++ ? STR(",{\"file\":") : STR("{\"file\":"));
        json_put_str(json, str_c(p->list.v[i].path));
        buf_str(json, STR(",\"reason\":"));
        json_put_str(json, str_c(p->list.v[i].why));
        buf_byte(json, '}');
    }
    buf_str(json, STR("]},\"restart_needed\":["));
    struct str rest = buf_text(later), name;
    for (int n = 0; rest.n && str_cut(&rest, ',', &name); n++) {
        if (n) buf_byte(json, ',');
        json_put_str(json, str_trim(name));
    }
    buf_str(json, STR("]}"));
    log_info("reloaded", "loading=[" STR_FMT "] kept=[" STR_FMT "] leaving=[" STR_FMT "] restart_needed=[" STR_FMT "]",
             STR_ARG(buf_text(come)), STR_ARG(buf_text(stay)), STR_ARG(buf_text(gone)), STR_ARG(buf_text(later)));
}

static void commit(struct supervisor *sv, struct plan *p, struct buf *json)
{
    struct buf   come, stay, gone, later;
    struct err   e;
    struct arena old = sv->conf_arena; // the models' texts are copies: nothing else points into it

    buf_init(&come, KIB(80));
    buf_init(&stay, KIB(80));
    buf_init(&gone, KIB(80));
    buf_init(&later, KIB(8));
    conf_differ(&later, sv->first, &p->s, OPT_RESTART);
    conf_keep(&p->s, sv->first, OPT_RESTART);
    sv->s          = p->s;
    sv->conf_arena = p->arena;
    sv->reloaded   = true;
    memcpy(sv->admin_key, p->admin_key, sizeof sv->admin_key);
    log_init((enum log_level)sv->s.log_level, "supervisor");
    supervisor_work_out(sv);
    reload_notes(&sv->s, &p->list);
    if (sv->front.chan && supervisor_tell_conf(sv, &e) < 0) log_warn("conf_not_told", "error=\"%s\"", e.msg);
    drop_others(sv, p, &gone);
    serve_list(sv, p, &come, &stay);
    report(p, &come, &stay, &gone, &later, json);
    arena_release(&old);
    buf_release(&come);
    buf_release(&stay);
    buf_release(&gone);
    buf_release(&later);
}

int reload_run(struct supervisor *sv, struct buf *json, struct err *e)
{
    struct plan *p = mem_zalloc(sizeof *p);
    int          rc;

    if (!p) return err_nomem(e, "reloading");
    arena_init(&p->arena, MIB(16));
    rc = sv->stopping ? err_set(e, ERR_SHUTTING_DOWN, "the server is shutting down") : prepare(sv, p, e);
    if (rc == 0) commit(sv, p, json);
    models_close(&p->list); // those not taken; the list is in the arena
    if (rc < 0) arena_release(&p->arena);
    mem_free(p);
    return rc;
}
