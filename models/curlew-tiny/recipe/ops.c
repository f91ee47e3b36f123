/* ops.c - the parts of the network between the matrix products, fused, forward and backward.
 *
 * torch does these as dozens of passes over memory; here each is one pass, and attention looks only
 * at tokens of the same conversation.  Loaded by ops.py.  model.py has the same mathematics in
 * plain torch, and `python3 ops.py` compares the two.
 *
 * Shapes: rows of N tokens; bf16 is uint16_t.  Build: cc -O3 -march=native -ffast-math -shared -fPIC
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { HD = 32, T_MAX = 1040 };  // not a power of two: columns would share cache sets

static inline float up(uint16_t h)
{
    union { uint32_t u; float f; } v = { (uint32_t)h << 16 };
    return v.f;
}

static inline uint16_t down(float f)
{
    union { float f; uint32_t u; } v = { f };
    return (uint16_t)((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16);
}

/* y = x * inv * w, inv = 1/rms(x) kept for the way back */
void norm_f(const float *x, const float *w, uint16_t *y, float *inv, long n, long d, float eps)
{
    for (long i = 0; i < n; i++, x += d, y += d) {
        float s = 0;
        for (long j = 0; j < d; j++) s += x[j] * x[j];
        float r = inv[i] = 1 / sqrtf(s / (float)d + eps);
        for (long j = 0; j < d; j++) y[j] = down(x[j] * r * w[j]);
    }
}

/* dx is written, dw is added to */
void norm_b(const float *x, const float *w, const float *inv, const uint16_t *dy, float *dx, float *dw,
            long n, long d)
{
    for (long i = 0; i < n; i++, x += d, dy += d, dx += d) {
        float r = inv[i], s = 0;
        for (long j = 0; j < d; j++) s += x[j] * w[j] * up(dy[j]);
        s *= r * r * r / (float)d;
        for (long j = 0; j < d; j++) {
            float g = up(dy[j]);
            dx[j] = g * w[j] * r - x[j] * s;
            dw[j] += g * x[j] * r;
        }
    }
}

/* y[i] = silu(gate) * up, a row of gu is [gate | up] */
void swiglu_f(const uint16_t *gu, uint16_t *y, long n, long f)
{
    for (long i = 0; i < n; i++, gu += 2 * f, y += f)
        for (long j = 0; j < f; j++) {
            float g = up(gu[j]);
            y[j] = down(g / (1 + expf(-g)) * up(gu[f + j]));
        }
}

void swiglu_b(const uint16_t *gu, const uint16_t *dy, uint16_t *dgu, long n, long f)
{
    for (long i = 0; i < n; i++, gu += 2 * f, dgu += 2 * f, dy += f)
        for (long j = 0; j < f; j++) {
            float g = up(gu[j]), u = up(gu[f + j]), d = up(dy[j]);
            float s = 1 / (1 + expf(-g));
            dgu[j] = down(d * u * s * (1 + g * (1 - s)));
            dgu[f + j] = down(d * g * s);
        }
}

/* Norm and rotate one head of one token: y = rope(x / rms(x) * w * scale). */
static float head_f(const uint16_t *x, const float *w, const float *cs, const float *sn, float scale, float eps,
                    float *y)
{
    float v[HD], s = 0;
    for (int j = 0; j < HD; j++) {
        v[j] = up(x[j]);
        s += v[j] * v[j];
    }
    float r = 1 / sqrtf(s / HD + eps);
    for (int j = 0; j < HD; j++) v[j] *= r * w[j] * scale;
    for (int j = 0; j < HD / 2; j++) {
        y[j] = v[j] * cs[j] - v[j + HD / 2] * sn[j];
        y[j + HD / 2] = v[j + HD / 2] * cs[j] + v[j] * sn[j];
    }
    return r;
}

static void head_b(const uint16_t *x, const float *w, const float *cs, const float *sn, float scale, float r,
                   const float *dy, uint16_t *dx, float *dw)
{
    float g[HD], v[HD], s = 0;
    for (int j = 0; j < HD / 2; j++) {
        g[j] = (dy[j] * cs[j] + dy[j + HD / 2] * sn[j]) * scale;
        g[j + HD / 2] = (dy[j + HD / 2] * cs[j] - dy[j] * sn[j]) * scale;
    }
    for (int j = 0; j < HD; j++) {
        v[j] = up(x[j]);
        dw[j] += g[j] * v[j] * r;
        s += v[j] * w[j] * g[j];
    }
    s *= r * r * r / HD;
    for (int j = 0; j < HD; j++) dx[j] = down(g[j] * w[j] * r - v[j] * s);
}

/* Attention works on four queries and sixteen keys at a time.  A head's keys and values of one
 * conversation lie both by token and by dimension, so that every loop below runs along memory. */
enum { R = 4, W = 16 };
typedef float vec __attribute__((vector_size(W * sizeof(float))));

static float kt[HD][T_MAX] __attribute__((aligned(64))), vt[HD][T_MAX] __attribute__((aligned(64)));
static float kr[T_MAX][HD] __attribute__((aligned(64))), vr[T_MAX][HD] __attribute__((aligned(64)));
static float dk[T_MAX][HD] __attribute__((aligned(64))), dv[T_MAX][HD] __attribute__((aligned(64)));
static float k_inv[T_MAX];      // static: one thread a process

/* s[r][t] = q[r] . k[t], t below nb * W */
static void scores(float (*q)[HD], float (*k)[T_MAX], int nb, float (*s)[T_MAX])
{
    for (int b = 0; b < nb; b++) {
        vec a[R] = { 0 };
        for (int j = 0; j < HD; j++) {
            vec x = *(const vec *)(k[j] + b * W);
            for (int r = 0; r < R; r++) a[r] += q[r][j] * x;
        }
        for (int r = 0; r < R; r++) *(vec *)(s[r] + b * W) = a[r];
    }
}

/* o[r] = sum over t of s[r][t] v[t] */
static void gather(float (*s)[T_MAX], float (*v)[HD], int n, float (*o)[HD])
{
    vec a[R][HD / W] = { 0 };
    for (int t = 0; t < n; t++)
        for (int c = 0; c < HD / W; c++) {
            vec x = *(const vec *)(v[t] + c * W);
            for (int r = 0; r < R; r++) a[r][c] += s[r][t] * x;
        }
    memcpy(o, a, sizeof a);
}

/* d[t] += sum over r of s[r][t] x[r] */
static void scatter(float (*s)[T_MAX], float (*x)[HD], int n, float (*d)[HD])
{
    vec a[R][HD / W];
    memcpy(a, x, sizeof a);
    for (int t = 0; t < n; t++)
        for (int c = 0; c < HD / W; c++) {
            vec y = *(vec *)(d[t] + c * W);
            for (int r = 0; r < R; r++) y += s[r][t] * a[r][c];
            *(vec *)(d[t] + c * W) = y;
        }
}

static void load_kv(const uint16_t *x, long stride, long k_at, long v_at, int n, const float *kn, const float *cs,
                    const float *sn, float eps)
{
    for (int t = 0; t < n; t++) {
        k_inv[t] = head_f(x + t * stride + k_at, kn, cs + t * HD / 2, sn + t * HD / 2, 1, eps, kr[t]);
        for (int j = 0; j < HD; j++) {
            kt[j][t] = kr[t][j];
            vt[j][t] = vr[t][j] = up(x[t * stride + v_at + j]);
        }
    }
}

/* Normed, rotated queries i .. i+R-1 of one head (zeros past n) and their probabilities over tokens
 * 0 .. i+R-1; a query sees nothing after itself.  Keys from n to the next multiple of W are garbage
 * and get probability 0. */
static void probs(const uint16_t *x, long stride, int i, int n, const float *qn, const float *cs, const float *sn,
                  float scale, float eps, float (*q)[HD], float *inv, float (*p)[T_MAX])
{
    int nb = (i + R + W - 1) / W;
    for (int r = 0; r < R; r++)
        if (i + r < n)
            inv[r] = head_f(x + (i + r) * stride, qn, cs + (i + r) * HD / 2, sn + (i + r) * HD / 2, scale, eps, q[r]);
        else
            memset(q[r], 0, sizeof q[r]);
    scores(q, kt, nb, p);
    for (int r = 0; r < R; r++) {
        float m = p[r][0], s = 0;
        int   e = i + r + 1;
        for (int t = 1; t < e; t++) m = p[r][t] > m ? p[r][t] : m;
        for (int t = 0; t < e; t++) s += p[r][t] = expf(p[r][t] - m);
        s = i + r < n ? 1 / s : 0;
        for (int t = 0; t < e; t++) p[r][t] *= s;
        for (int t = e; t < nb * W; t++) p[r][t] = 0;
    }
}

/* qkv [N][(n_head + 2 n_kv) * HD] -> out [N][n_head * HD].  seg: pairs (first token, length <= T_MAX - R), which
 * do not overlap; tokens in no segment are left alone. */
void attn_f(const uint16_t *qkv, const float *qn, const float *kn, const float *cs, const float *sn,
            const int64_t *seg, long n_seg, uint16_t *out, long n_head, long n_kv, float eps)
{
    static float p[R][T_MAX] __attribute__((aligned(64)));
    float        q[R][HD], o[R][HD], inv[R], scale = 1 / sqrtf(HD);
    long         stride = (n_head + 2 * n_kv) * HD, group = n_head / n_kv;
    for (long s = 0; s < n_seg; s++) {
        const uint16_t *x = qkv + seg[2 * s] * stride;
        uint16_t       *y = out + seg[2 * s] * n_head * HD;
        int             n = (int)seg[2 * s + 1];
        for (long g = 0; g < n_kv; g++) {
            load_kv(x, stride, (n_head + g) * HD, (n_head + n_kv + g) * HD, n, kn, cs, sn, eps);
            for (long h = g * group; h < (g + 1) * group; h++)
                for (int i = 0; i < n; i += R) {
                    int m = i + R < n ? i + R : n;
                    probs(x + h * HD, stride, i, n, qn, cs, sn, scale, eps, q, inv, p);
                    gather(p, vr, m, o);
                    for (int r = 0; i + r < m; r++)
                        for (int j = 0; j < HD; j++) y[((i + r) * n_head + h) * HD + j] = down(o[r][j]);
                }
        }
    }
}

/* dqkv is written for tokens of segments; dqn and dkn are added to. */
void attn_b(const uint16_t *qkv, const float *qn, const float *kn, const float *cs, const float *sn,
            const int64_t *seg, long n_seg, const uint16_t *dout, uint16_t *dqkv, float *dqn, float *dkn,
            long n_head, long n_kv, float eps)
{
    static float p[R][T_MAX] __attribute__((aligned(64))), dp[R][T_MAX] __attribute__((aligned(64)));
    float        q[R][HD], d[R][HD], dq[R][HD], inv[R], scale = 1 / sqrtf(HD);
    long         stride = (n_head + 2 * n_kv) * HD, group = n_head / n_kv;
    for (long s = 0; s < n_seg; s++) {
        const uint16_t *x = qkv + seg[2 * s] * stride, *y = dout + seg[2 * s] * n_head * HD;
        uint16_t       *dx = dqkv + seg[2 * s] * stride;
        int             n = (int)seg[2 * s + 1];
        for (long g = 0; g < n_kv; g++) {
            load_kv(x, stride, (n_head + g) * HD, (n_head + n_kv + g) * HD, n, kn, cs, sn, eps);
            memset(dk, 0, (size_t)n * sizeof dk[0]);
            memset(dv, 0, (size_t)n * sizeof dv[0]);
            for (long h = g * group; h < (g + 1) * group; h++)
                for (int i = 0; i < n; i += R) {
                    int m = i + R < n ? i + R : n;
                    probs(x + h * HD, stride, i, n, qn, cs, sn, scale, eps, q, inv, p);
                    for (int r = 0; r < R; r++)
                        for (int j = 0; j < HD; j++)
                            d[r][j] = i + r < m ? up(y[((i + r) * n_head + h) * HD + j]) : 0;
                    scores(d, vt, (i + R + W - 1) / W, dp);
                    scatter(p, d, m, dv);
                    for (int r = 0; r < R; r++) {
                        float sum = 0;
                        for (int t = 0; t < m; t++) sum += p[r][t] * dp[r][t];
                        for (int t = 0; t < m; t++) dp[r][t] = p[r][t] * (dp[r][t] - sum);
                    }
                    scatter(dp, q, m, dk);
                    gather(dp, kr, m, dq);
                    for (int r = 0; i + r < m; r++) {
                        long at = (i + r) * stride + h * HD;
                        head_b(x + at, qn, cs + (i + r) * HD / 2, sn + (i + r) * HD / 2, scale, inv[r], dq[r],
                               dx + at, dqn);
                    }
                }
            for (int t = 0; t < n; t++) {
                long at = t * stride + (n_head + g) * HD;
                for (int j = 0; j < HD; j++) dx[at + n_kv * HD + j] = down(dv[t][j]);
                head_b(x + at, kn, cs + t * HD / 2, sn + t * HD / 2, 1, k_inv[t], dk[t], dx + at, dkn);
            }
        }
    }
}
