/* cpu_rope.c - how far each pair of dimensions rotates a position.
 *
 * Pair i of n turns base^(-2i/n) radians a position (Su et al., arXiv:2104.09864). To reach further than a model
 * was trained, files scale that:
 *
 *   linear     all pairs turn 1/factor as far (Chen et al., arXiv:2306.15595)
 *   YaRN       pairs that turn often within the old context stay, those that turn less than once are scaled, a
 *              ramp between; scores grow a little (Peng et al., arXiv:2309.00071, sec. 3)
 *   LongRoPE   a factor for each pair, of two sets: for contexts up to the old one, and above (Ding et al.,
 *              arXiv:2402.13753)
 *   Llama 3    a factor for each pair (tensor rope_freqs); the converter made it
 */
#include "engines/cpu/cpu_int.h"

#include <math.h>
#include <stdio.h>

#define YARN_FAST 32.0 // turns within the old context from which a pair stays
#define YARN_SLOW 1.0  // and below which it is scaled

/* The pair (as a real number) that turns so many times within the old context. */
static double yarn_pair(const struct hparams *f, double turns)
{
    double n = f->n_rot * log(f->rope_ctx_orig / (turns * 2 * M_PI)) / (2 * log(f->rope_base));
    return n;
}

/* How much of pair i is scaled: 0 .. 1. */
static double yarn_ramp(const struct hparams *f, int i)
{
    double low = fmax(0, floor(yarn_pair(f, YARN_FAST))), high = fmin(f->n_rot - 1, ceil(yarn_pair(f, YARN_SLOW)));
    return fmin(1, fmax(0, (i - low) / fmax(0.001, high - low)));
}

/* Files of LongRoPE may have its tensors and not its name. */
static bool is_longrope(const struct engine *en)
{
    return en->file.rope_scaling == ROPE_LONGROPE || gguf_tensor(en->gguf, "rope_factors_long.weight");
}

/* Factors that a tensor gives, or NULL. */
static int load_factors(struct engine *en, const float **ret, struct err *e)
{
    const struct hparams *f = &en->file;
    const char *name = "rope_freqs.weight";
    int n = f->n_rot / 2, rc;

    *ret = NULL;
    if (is_longrope(en))
        name = en->n_ctx > f->rope_ctx_orig ? "rope_factors_long.weight" : "rope_factors_short.weight";
    else if (!gguf_tensor(en->gguf, name))
        return 0;
    if ((rc = cpu_load_vector(en, name, 0, n, n, 1, ret, e))) return rc;
    for (int i = 0; i < n; i++)
        if (!((*ret)[i] >= 1e-3f && (*ret)[i] <= 1e6f))
            return err_set(e, ERR_BAD_FILE, "%s: %s[%d] is %g, the range is 0.001 to 1000000", gguf_name(en->gguf), name,
                           i, (double)(*ret)[i]);
    return 0;
}

static int make(struct engine *en, struct cpu_rope *ret, double base, bool scaled, const float *factor, struct err *e)
{
    const struct hparams *f = &en->file;
    enum rope_scaling     kind = scaled ? f->rope_scaling : ROPE_NONE;
    int    n = f->n_rot / 2;
    float *freq = arena_array(&en->arena, (size_t)n, sizeof *freq);

    if (!freq) return err_nomem(e, "loading rotary frequencies");
    for (int i = 0; i < n; i++) {
        double v = pow(base, -2.0 * i / f->n_rot);
        if (factor) v /= (double)factor[i];
        if (kind == ROPE_LINEAR) v /= f->rope_factor;
        if (kind == ROPE_YARN) {
            double part = yarn_ramp(f, i);
            v = v / f->rope_factor * part + v * (1 - part);
        }
        freq[i] = (float)v;
    }
    ret->inv_freq = freq;
    ret->mag = scaled ? (float)f->rope_attn_factor : 1;
    if (kind == ROPE_YARN && f->rope_factor > 1) ret->mag *= (float)(1 + 0.1 * log(f->rope_factor));
    return 0;
}

/* LongRoPE's factor of scores where the file does not say one. */
static void default_mag(struct engine *en)
{
    struct hparams *f = &en->file;
    char   key[128];
    double more = (double)f->n_ctx_train / f->rope_ctx_orig;

    snprintf(key, sizeof key, "%s.rope.scaling.attn_factor", en->arch->name);
    if (is_longrope(en) && !gguf_has(en->gguf, key) && more > 1 && f->rope_ctx_orig > 1)
        f->rope_attn_factor = sqrt(1 + log(more) / log(f->rope_ctx_orig));
}

int cpu_load_rope(struct engine *en, struct err *e)
{
    const float *factor;
    char key[128];
    int  rc;

    if (en->traits & (FAM_LEARNED_POS | FAM_ALIBI)) return 0;
    default_mag(en);
    if ((rc = load_factors(en, &factor, e))) return rc;
    if ((rc = make(en, &en->rope[0], en->file.rope_base, true, factor, e))) return rc;
    en->n_rope = 1;
    if (!(en->traits & FAM_SWA_ROPE) || !en->file.n_swa) return 0;
    snprintf(key, sizeof key, "%s.rope.freq_base_swa", en->arch->name);
    en->n_rope = 2;
    return make(en, &en->rope[1], gguf_has(en->gguf, key) ? en->file.rope_base_swa : 10000, false, NULL, e);
}

void cpu_rope_angles(const struct engine *en, const struct cpu_rope *r, int pos, float *cs)
{
    for (int i = 0; i < en->hp.n_rot / 2; i++) {
        double angle = (double)pos * (double)r->inv_freq[i];
        cs[2 * i] = (float)cos(angle) * r->mag;
        cs[2 * i + 1] = (float)sin(angle) * r->mag;
    }
}
