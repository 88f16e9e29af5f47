// Rows of states to 8-bit integers, each with a scale and a zero point of its own, so that what a
// row becomes depends on nothing beside it. A row may be normalized and activated on the way.
#include "common.h"

typedef struct {
    pieces work;
    const void *states;       // (rows, size)
    number type;              // of `states`
    const float *weight;      // (size,) of a layer normalization, or null for none
    const float *bias;        // (size,)
    float epsilon;
    int swished;              // whether the activation comes after it
    uint8_t *values;          // (rows, padded)
    float *scale, *low;       // (rows,): state = low + scale * value
    long rows, size, padded;
} quantizing;

// Rows are read into a buffer whose size is a multiple of WIDE, filled with zeros; sums go on in
// several lanes at once, so that one addition need not wait for the last.
enum { CHUNK = 16, PARTS = 4, WIDE = PARTS * LANES };

typedef struct {
    __m512 of[PARTS];
} sums;

INLINE sums all(float value) {
    sums made;
    for (int part = 0; part < PARTS; part++) made.of[part] = _mm512_set1_ps(value);
    return made;
}

INLINE float total(sums sum) {
    __m512 low = _mm512_add_ps(sum.of[0], sum.of[1]), high = _mm512_add_ps(sum.of[2], sum.of[3]);
    return _mm512_reduce_add_ps(_mm512_add_ps(low, high));
}

// Rows that fill the buffer are `whole`, and need no masks.
INLINE __mmask16 lanes_of(int whole, long count) { return whole ? 0xffff : first(count); }

INLINE float read_row(const quantizing *job, int whole, number type, float *row, long place) {
    sums sum = all(0.0f);
    for (long at = 0; at < job->size; at += WIDE)
        for (int part = 0; part < PARTS; part++) {
            long here = at + part * LANES;
            __m512 value = load(job->states, type, place * job->size + here,
                                lanes_of(whole, job->size - here));
            _mm512_storeu_ps(row + here, value);
            sum.of[part] = _mm512_add_ps(sum.of[part], value);
        }
    return total(sum);
}

INLINE float squares_of(const float *row, int whole, long size, float mean) {
    sums sum = all(0.0f);
    for (long at = 0; at < size; at += WIDE)
        for (int part = 0; part < PARTS; part++) {
            long here = at + part * LANES;
            __m512 value = _mm512_loadu_ps(row + here);
            __mmask16 lanes = lanes_of(whole, size - here);
            __m512 apart = _mm512_maskz_sub_ps(lanes, value, _mm512_set1_ps(mean));
            sum.of[part] = _mm512_fmadd_ps(apart, apart, sum.of[part]);
        }
    return total(sum);
}

// Normalizes and activates, as is asked, and gives the least and the most of what comes out.
INLINE void finish_row(const quantizing *job, int whole, int normed, float *row, float mean,
                       float rate, float *ends) {
    sums least = all(3.0e38f), most = all(-3.0e38f);
    for (long at = 0; at < job->size; at += WIDE)
        for (int part = 0; part < PARTS; part++) {
            long here = at + part * LANES;
            __mmask16 lanes = lanes_of(whole, job->size - here);
            __m512 value = _mm512_loadu_ps(row + here);
            if (normed) {
                value = _mm512_mul_ps(_mm512_sub_ps(value, _mm512_set1_ps(mean)), _mm512_set1_ps(rate));
                value = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(lanes, job->weight + here),
                                        _mm512_maskz_loadu_ps(lanes, job->bias + here));
            }
            if (job->swished) value = swish(value);
            if (normed || job->swished) _mm512_storeu_ps(row + here, value);
            least.of[part] = _mm512_mask_min_ps(least.of[part], lanes, least.of[part], value);
            most.of[part] = _mm512_mask_max_ps(most.of[part], lanes, most.of[part], value);
        }
    for (int part = 1; part < PARTS; part++) {
        least.of[0] = _mm512_min_ps(least.of[0], least.of[part]);
        most.of[0] = _mm512_max_ps(most.of[0], most.of[part]);
    }
    ends[0] = _mm512_reduce_min_ps(least.of[0]);
    ends[1] = _mm512_reduce_max_ps(most.of[0]);
}

INLINE void write_row(const quantizing *job, int whole, const float *row, const float *ends, long place) {
    float scale = (ends[1] - ends[0]) / 255.0f;
    if (scale < 1e-30f) scale = 1e-30f;
    job->low[place] = ends[0];
    job->scale[place] = scale;
    __m512 rate = _mm512_set1_ps(1.0f / scale), from = _mm512_set1_ps(ends[0]);
    uint8_t *values = job->values + place * job->padded;
    for (long at = 0; at < job->padded; at += LANES) {
        __m512 value = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + at), from), rate);
        __m512i integers = _mm512_max_epi32(_mm512_cvtps_epi32(value), _mm512_setzero_si512());
        __mmask16 lanes = lanes_of(whole, job->padded - at);
        _mm_mask_storeu_epi8(values + at, lanes, _mm512_cvtusepi32_epi8(integers));
    }
}

INLINE void quantize_row(const quantizing *job, int whole, number type, float *row, long place) {
    float ends[2], sum = read_row(job, whole, type, row, place);
    if (job->weight) {
        float mean = sum / (float)job->size;
        float variance = squares_of(row, whole, job->size, mean) / (float)job->size;
        finish_row(job, whole, 1, row, mean, 1.0f / __builtin_sqrtf(variance + job->epsilon), ends);
    } else {
        finish_row(job, whole, 0, row, 0.0f, 1.0f, ends);
    }
    write_row(job, whole, row, ends, place);
}

INLINE void quantize_any(const quantizing *job, int whole, float *row, long place) {
    switch (job->type) {
        case F32: quantize_row(job, whole, F32, row, place); break;
        case F16: quantize_row(job, whole, F16, row, place); break;
        default: quantize_row(job, whole, BF16, row, place);
    }
}

static void quantize_rows(void *given) {
    quantizing *job = given;
    float *row = aligned_alloc(64, (size_t)round_up(job->size, WIDE) * sizeof(float));
    int whole = job->size % WIDE == 0;
    for (long piece; (piece = take(&job->work)) < job->work.total;) {
        long end = smaller((piece + 1) * CHUNK, job->rows);
        for (long place = piece * CHUNK; place < end; place++) {
            if (whole)
                quantize_any(job, 1, row, place);
            else
                quantize_any(job, 0, row, place);
        }
    }
    free(row);
}

void quantize(const void *states, long type, const float *weight, const float *bias, float epsilon,
              long swished, uint8_t *values, float *scale, float *low, long rows, long size,
              long padded, long threads) {
    quantizing job = {{(rows + CHUNK - 1) / CHUNK, 0}, states, (number)type, weight, bias, epsilon,
                      (int)swished, values, scale, low, rows, size, padded};
    on_threads(quantize_rows, &job, threads);
}
