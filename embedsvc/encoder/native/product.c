// Products of quantized states with quantized weights: 8-bit integers, summed exactly in 32 bits.
//
// Weights lie in panels of 64 outputs, and in a panel as the instruction reads them: four inputs
// of each output side by side. A panel stays in the second-level cache while all rows pass by.
#include "common.h"

enum { PANEL = 64, VECTORS = PANEL / LANES, ROWS = 6 };

typedef enum { STORE, SWISH, GATE, ADD } ending;

typedef struct {
    pieces work;
    const uint8_t *values;       // (rows, depth)
    const float *scale, *low;    // (rows,): state = low + scale * value
    const int8_t *weights;       // (panels, depth / 4, PANEL, 4)
    const float *rates;          // (panels * PANEL,): weight = rate * integer
    const float *sums;           // (panels * PANEL,): of the weights of an output
    const float *bias;           // (panels * PANEL,)
    void *out;                   // (rows, outputs)
    number type;                 // of `out`
    ending end;
    long rows, depth, outputs;
} product;

INLINE void multiply(const uint8_t *values, long depth, const int8_t *panel,
                     __m512i sums[ROWS][VECTORS]) {
    for (int row = 0; row < ROWS; row++)
        for (int part = 0; part < VECTORS; part++) sums[row][part] = _mm512_setzero_si512();
    for (long at = 0; at < depth; at += 4, panel += PANEL * 4) {
        __m512i weights[VECTORS];
        for (int part = 0; part < VECTORS; part++)
            weights[part] = _mm512_loadu_si512(panel + part * 64);
        for (int row = 0; row < ROWS; row++) {
            int four;
            memcpy(&four, values + row * depth + at, 4);
            __m512i states = _mm512_set1_epi32(four);
            for (int part = 0; part < VECTORS; part++)
                sums[row][part] = _mm512_dpbusd_epi32(sums[row][part], states, weights[part]);
        }
    }
}

// One vector of outputs as floats; `at` counts the outputs of all panels.
INLINE __m512 scaled(const product *job, __m512i sum, long row, long at) {
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(job->scale[row]));
    __m512 rest = _mm512_fmadd_ps(_mm512_set1_ps(job->low[row]), _mm512_loadu_ps(job->sums + at),
                                  _mm512_loadu_ps(job->bias + at));
    return _mm512_fmadd_ps(value, _mm512_loadu_ps(job->rates + at), rest);
}

INLINE void finish(const product *job, ending end, const __m512i sums[VECTORS], long row, long panel) {
    long base = row * job->outputs, at = panel * PANEL;
    if (end == GATE) {  // the second half of a panel opens and closes the first
        for (int part = 0; part < VECTORS / 2; part++) {
            long open = at + PANEL / 2 + part * LANES, to = at / 2 + part * LANES;
            __m512 value = scaled(job, sums[part], row, at + part * LANES);
            value = _mm512_mul_ps(value, sigmoid(scaled(job, sums[part + VECTORS / 2], row, open)));
            if (to < job->outputs)
                store(job->out, job->type, base + to, first(job->outputs - to), value);
        }
        return;
    }
    for (int part = 0; part < VECTORS && at < job->outputs; part++, at += LANES) {
        __mmask16 lanes = first(job->outputs - at);
        __m512 value = scaled(job, sums[part], row, at);
        if (end == SWISH) value = swish(value);
        if (end == ADD) value = _mm512_add_ps(value, load(job->out, F32, base + at, lanes));
        store(job->out, end == ADD ? F32 : job->type, base + at, lanes, value);
    }
}

// Asks for the part of `out` that a product will be written to, so that it need not wait for it.
INLINE void expect(const product *job, ending end, long row, long count, long panel) {
    long each = end == ADD || job->type == F32 ? 4 : 2, wide = end == GATE ? PANEL / 2 : PANEL;
    for (long part = 0; part < count; part++) {
        const char *out = (char *)job->out + ((row + part) * job->outputs + panel * wide) * each;
        for (long at = 0; at < wide * each; at += 64) __builtin_prefetch(out + at, 1);
    }
}

INLINE void run(product *job, ending end) {
    for (long panel; (panel = take(&job->work)) < job->work.total;) {
        const int8_t *weights = job->weights + panel * PANEL * job->depth;
        for (long row = 0; row < job->rows; row += ROWS) {
            __m512i sums[ROWS][VECTORS];
            long count = smaller(ROWS, job->rows - row);
            expect(job, end, row, count, panel);
            multiply(job->values + row * job->depth, job->depth, weights, sums);
            for (long part = 0; part < count; part++) finish(job, end, sums[part], row + part, panel);
        }
    }
}

static void run_store(void *job) { run(job, STORE); }
static void run_swish(void *job) { run(job, SWISH); }
static void run_gate(void *job) { run(job, GATE); }
static void run_add(void *job) { run(job, ADD); }

// `values` must be readable up to a multiple of ROWS rows; what is read beyond `rows` has no effect.
void multiply_quantized(const uint8_t *values, const float *scale, const float *low,
                        const int8_t *weights, const float *rates, const float *sums,
                        const float *bias, void *out, long type, long end, long rows, long depth,
                        long outputs, long panels, long threads) {
    static void (*const runs[])(void *) = {run_store, run_swish, run_gate, run_add};
    product job = {{panels, 0}, values, scale, low, weights, rates, sums, bias, out, (number)type,
                   (ending)end, rows, depth, outputs};
    on_threads(runs[end], &job, threads);
}
