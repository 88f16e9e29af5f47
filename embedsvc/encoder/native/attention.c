// Softmax attention with a learned key for each clipped distance (Shaw et al. 2018), over
// utterances that lie one after the other. Scores live in the first-level cache: a few queries meet
// the keys tile by tile, with a running maximum and sum (Milakov and Gimelshein 2018, "Online
// normalizer calculation for softmax").
//
// Letters: D size of a head, P distances in the table. Keys are packed as columns, so that a vector
// holds 16 keys; values as rows. In bfloat16 two neighbors in the summed direction share a lane.
#include "common.h"

enum { ROWS = 6, VECTORS = 4, STRIPE = VECTORS * LANES, TILE = 256, QUERIES = 96, MOST = 64 };

typedef struct {
    long begin, frames;  // of one utterance
    long packed;         // where its packed keys and values begin, in frames
} utterance;

typedef struct {
    pieces work;
    const void *joint;      // (frames, 3, heads, D): queries, keys, values
    number type;            // of `joint`
    const float *table;     // (D, width): key of each distance as a column, zeros beyond P
    void *keys, *values;    // packed, for all heads and utterances
    void *out;              // (frames, heads, D)
    number out_type;
    const utterance *utterances;
    const long *blocks;     // (count + 1,): how many blocks of queries come before an utterance
    long count, heads, size, distances, left, width, packed_frames;
} attention;

INLINE const void *part_of(const attention *job, long frame, long part, long head) {
    long at = ((frame * 3 + part) * job->heads + head) * job->size;
    return (const char *)job->joint + at * (job->type == F32 ? 4 : 2);
}

// ---- packing

static void pack_floats(const attention *job, const utterance *each, long head) {
    long size = job->size, room = round_up(each->frames, STRIPE);
    float *keys = (float *)job->keys + (head * job->packed_frames + each->packed) * size;
    float *values = (float *)job->values + (head * job->packed_frames + each->packed) * size;
    const __m512i apart = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32((int)(3 * job->heads * size)));
    for (long frame = 0; frame < room; frame += LANES) {
        __mmask16 lanes = frame < each->frames ? first(each->frames - frame) : 0;
        const float *from = lanes ? part_of(job, each->begin + frame, 1, head) : NULL;
        for (long at = 0; at < size; at++) {
            __m512 column = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, apart, from + at, 4);
            _mm512_storeu_ps(keys + at * room + frame, column);
        }
    }
    for (long frame = 0; frame < room; frame++) {
        int there = frame < each->frames;
        if (there)
            memcpy(values + frame * size, part_of(job, each->begin + frame, 2, head), size * 4);
        else
            memset(values + frame * size, 0, size * 4);
    }
}

static void pack_halves(const attention *job, const utterance *each, long head) {
    long size = job->size, room = round_up(each->frames, STRIPE);
    uint32_t *keys = (uint32_t *)job->keys + (head * job->packed_frames + each->packed) * size / 2;
    uint32_t *values = (uint32_t *)job->values + (head * job->packed_frames + each->packed) * size / 2;
    const __m512i apart = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32((int)(3 * job->heads * size / 2)));
    for (long frame = 0; frame < room; frame += LANES) {
        __mmask16 lanes = frame < each->frames ? first(each->frames - frame) : 0;
        const uint32_t *from = lanes ? part_of(job, each->begin + frame, 1, head) : NULL;
        for (long at = 0; at < size / 2; at++) {
            __m512i none = _mm512_setzero_si512();
            __m512i column = _mm512_mask_i32gather_epi32(none, lanes, apart, from + at, 4);
            _mm512_storeu_si512(keys + at * room + frame, column);
        }
    }
    for (long frame = 0; frame < room; frame += 2) {
        __mmask16 even = frame < each->frames ? 0xffff : 0, odd = frame + 1 < each->frames ? 0xffff : 0;
        const uint16_t *one = even ? part_of(job, each->begin + frame, 2, head) : NULL;
        const uint16_t *two = odd ? part_of(job, each->begin + frame + 1, 2, head) : NULL;
        for (long at = 0; at < size; at += LANES) {
            __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(even, one + at));
            __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(odd, two + at));
            __m512i both = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
            _mm512_storeu_si512(values + frame / 2 * size + at, both);
        }
    }
}

static void pack(void *given) {
    attention *job = given;
    for (long piece; (piece = take(&job->work)) < job->work.total;) {
        const utterance *each = job->utterances + piece / job->heads;
        (job->type == BF16 ? pack_halves : pack_floats)(job, each, piece % job->heads);
    }
}

// ---- products of a few rows with columns, `vectors` of 16 of them

INLINE void multiply(const float *rows, long apart, const float *columns, long room, float *out,
                     long out_apart, long depth, int vectors, int add) {
    __m512 sums[ROWS][VECTORS];
    for (int row = 0; row < ROWS; row++)
        for (int part = 0; part < vectors; part++)
            sums[row][part] = add ? _mm512_loadu_ps(out + row * out_apart + part * LANES)
                                  : _mm512_setzero_ps();
    for (long at = 0; at < depth; at++, columns += room) {
        __m512 column[VECTORS];
        for (int part = 0; part < vectors; part++)
            column[part] = _mm512_loadu_ps(columns + part * LANES);
        for (int row = 0; row < ROWS; row++) {
            __m512 value = _mm512_set1_ps(rows[row * apart + at]);
            for (int part = 0; part < vectors; part++)
                sums[row][part] = _mm512_fmadd_ps(value, column[part], sums[row][part]);
        }
    }
    for (int row = 0; row < ROWS; row++)
        for (int part = 0; part < vectors; part++)
            _mm512_storeu_ps(out + row * out_apart + part * LANES, sums[row][part]);
}

WITH_BF16 INLINE void multiply_halves(const uint32_t *rows, long apart, const uint32_t *columns,
                                      long room, float *out, long out_apart, long depth, int vectors,
                                      int add) {
    __m512 sums[ROWS][VECTORS];
    for (int row = 0; row < ROWS; row++)
        for (int part = 0; part < vectors; part++)
            sums[row][part] = add ? _mm512_loadu_ps(out + row * out_apart + part * LANES)
                                  : _mm512_setzero_ps();
    for (long at = 0; at < depth; at++, columns += room) {
        __m512bh column[VECTORS];
        for (int part = 0; part < vectors; part++)
            column[part] = (__m512bh)_mm512_loadu_si512(columns + part * LANES);
        for (int row = 0; row < ROWS; row++) {
            __m512bh value = (__m512bh)_mm512_set1_epi32((int)rows[row * apart + at]);
            for (int part = 0; part < vectors; part++)
                sums[row][part] = _mm512_dpbf16_ps(sums[row][part], value, column[part]);
        }
    }
    for (int row = 0; row < ROWS; row++)
        for (int part = 0; part < vectors; part++)
            _mm512_storeu_ps(out + row * out_apart + part * LANES, sums[row][part]);
}

// ---- a few queries

typedef struct {
    float queries[ROWS * MOST];
    uint32_t halves[ROWS * MOST / 2];
    float *places;  // (ROWS, width + 2 LANES): scores by distance, the ends repeated beyond them
    float scores[ROWS * TILE];
    uint16_t weights[ROWS * TILE];
    float mixed[ROWS * MOST];
    float peak[ROWS], sum[ROWS];
} few;

// Brings what earlier tiles gave to a new peak, and adds the weights of this one.
INLINE void fade(few *some, int row, float peak, float weights) {
    __m512 share = power_of_two(_mm512_set1_ps(some->peak[row] - peak), FINE);
    float *mixed = some->mixed + row * MOST;
    for (long at = 0; at < MOST; at += LANES)
        _mm512_storeu_ps(mixed + at, _mm512_mul_ps(_mm512_loadu_ps(mixed + at), share));
    some->sum[row] = some->sum[row] * _mm512_cvtss_f32(share) + weights;
    some->peak[row] = peak;
}

// Adds to the scores of a row of keys from `key` on those of their distances; gives the highest.
INLINE float place(const attention *job, few *some, int row, long query, long key, long count,
                   long frames) {
    long wide = job->width + 2 * LANES, last = job->distances - 1;
    const float *places = some->places + row * wide + LANES;
    float *scores = some->scores + row * TILE;
    __m512 nearest = _mm512_set1_ps(places[last]), farthest = _mm512_set1_ps(places[0]);
    __m512 most = _mm512_set1_ps(some->peak[row]);
    for (long at = 0; at < count; at += LANES) {
        long distance = key + at - query + job->left;
        __m512 there = distance <= -LANES ? farthest
                       : distance >= last ? nearest
                                          : _mm512_loadu_ps(places + distance);
        __m512 score = _mm512_add_ps(_mm512_loadu_ps(scores + at), there);
        score = _mm512_mask_mov_ps(_mm512_set1_ps(-1e9f), first(frames - key - at), score);
        _mm512_storeu_ps(scores + at, score);
        most = _mm512_max_ps(most, score);
    }
    return _mm512_reduce_max_ps(most);
}

// Scores become weights; the sums of earlier tiles are brought to the new peak.
INLINE void weigh(few *some, int row, float peak, long count) {
    float *scores = some->scores + row * TILE;
    __m512 top = _mm512_set1_ps(peak), total = _mm512_setzero_ps();
    for (long at = 0; at < count; at += LANES) {
        __m512 score = _mm512_sub_ps(_mm512_loadu_ps(scores + at), top);
        __m512 weight = power_of_two(score, FINE);
        total = _mm512_add_ps(total, weight);
        _mm512_storeu_ps(scores + at, weight);
    }
    fade(some, row, peak, _mm512_reduce_add_ps(total));
}

WITH_BF16 INLINE void weigh_halves(few *some, int row, float peak, long count) {
    const float *scores = some->scores + row * TILE;
    uint16_t *weights = some->weights + row * TILE;
    __m512 top = _mm512_set1_ps(peak), total = _mm512_setzero_ps();
    for (long at = 0; at < count; at += LANES) {
        __m512 score = _mm512_sub_ps(_mm512_loadu_ps(scores + at), top);
        __m512 weight = power_of_two(score, COARSEST);
        total = _mm512_add_ps(total, weight);
        _mm256_storeu_si256((__m256i *)(weights + at), (__m256i)_mm512_cvtneps_pbh(weight));
    }
    fade(some, row, peak, _mm512_reduce_add_ps(total));
}

// Queries of one head, scaled so that weights are powers of two, and their scores with each distance.
INLINE void begin(const attention *job, few *some, const utterance *each, long query, long head) {
    __m512 scale = _mm512_set1_ps(1.44269504f / __builtin_sqrtf((float)job->size));
    for (int row = 0; row < ROWS; row++) {
        long frame = each->begin + smaller(query + row, each->frames - 1);
        const void *from = part_of(job, frame, 0, head);
        for (long at = 0; at < job->size; at += LANES) {
            __m512 value = _mm512_mul_ps(load(from, job->type, at, 0xffff), scale);
            _mm512_storeu_ps(some->queries + row * MOST + at, value);
            if (job->type == BF16)
                _mm256_storeu_si256((__m256i *)(some->halves + (row * MOST + at) / 2), to_bf16(value));
            _mm512_storeu_ps(some->mixed + row * MOST + at, _mm512_setzero_ps());
        }
        some->peak[row] = -1e9f;
        some->sum[row] = 0.0f;
    }
    long wide = job->width + 2 * LANES;
    for (long at = 0; at < job->width; at += LANES)
        multiply(some->queries, MOST, job->table + at, job->width, some->places + LANES + at, wide,
                 job->size, 1, 0);
    for (int row = 0; row < ROWS; row++) {
        float *places = some->places + row * wide + LANES, last = places[job->distances - 1];
        for (int at = 1; at <= LANES; at++) places[-at] = places[0];
        for (long at = job->distances; at < job->width + LANES; at++) places[at] = last;
    }
}

INLINE void end(const attention *job, const few *some, const utterance *each, long query, long head) {
    for (int row = 0; row < ROWS && query + row < each->frames; row++) {
        __m512 scale = _mm512_set1_ps(1.0f / some->sum[row]);
        long to = ((each->begin + query + row) * job->heads + head) * job->size;
        for (long at = 0; at < job->size; at += LANES) {
            __m512 value = _mm512_mul_ps(_mm512_loadu_ps(some->mixed + row * MOST + at), scale);
            store(job->out, job->out_type, to + at, 0xffff, value);
        }
    }
}

INLINE void mix(const attention *job, few *some, const float *values, long count, int vectors) {
    multiply(some->scores, TILE, values, job->size, some->mixed, MOST, count, vectors, 1);
}

WITH_BF16 INLINE void mix_halves(const attention *job, few *some, const uint32_t *values, long count,
                                 int vectors) {
    multiply_halves((const uint32_t *)some->weights, TILE / 2, values, job->size, some->mixed, MOST,
                    (count + 1) / 2, vectors, 1);
}

static void meet(const attention *job, few *some, const utterance *each, long query, long head) {
    long size = job->size, room = round_up(each->frames, STRIPE);
    long packed = (head * job->packed_frames + each->packed) * size;
    const float *keys = (const float *)job->keys + packed;
    const float *values = (const float *)job->values + packed;
    begin(job, some, each, query, head);
    for (long key = 0; key < each->frames; key += TILE) {
        long count = smaller(TILE, room - key);
        for (long at = 0; at < count; at += STRIPE)
            multiply(some->queries, MOST, keys + key + at, room, some->scores + at, TILE, size,
                     VECTORS, 0);
        for (int row = 0; row < ROWS; row++)
            weigh(some, row, place(job, some, row, query + row, key, count, each->frames), count);
        long there = smaller(count, each->frames - key);
        switch (size / LANES) {
            case 1: mix(job, some, values + key * size, there, 1); break;
            case 2: mix(job, some, values + key * size, there, 2); break;
            case 3: mix(job, some, values + key * size, there, 3); break;
            default: mix(job, some, values + key * size, there, 4);
        }
    }
    end(job, some, each, query, head);
}

WITH_BF16 static void meet_halves(const attention *job, few *some, const utterance *each, long query,
                                  long head) {
    long size = job->size, room = round_up(each->frames, STRIPE);
    long packed = (head * job->packed_frames + each->packed) * size / 2;
    const uint32_t *keys = (const uint32_t *)job->keys + packed;
    const uint32_t *values = (const uint32_t *)job->values + packed;
    begin(job, some, each, query, head);
    for (long key = 0; key < each->frames; key += TILE) {
        long count = smaller(TILE, room - key);
        for (long at = 0; at < count; at += STRIPE)
            multiply_halves(some->halves, MOST / 2, keys + key + at, room, some->scores + at, TILE,
                            size / 2, VECTORS, 0);
        for (int row = 0; row < ROWS; row++) {
            float peak = place(job, some, row, query + row, key, count, each->frames);
            weigh_halves(some, row, peak, count);
        }
        long there = smaller(count, each->frames - key);
        switch (size / LANES) {
            case 1: mix_halves(job, some, values + key / 2 * size, there, 1); break;
            case 2: mix_halves(job, some, values + key / 2 * size, there, 2); break;
            case 3: mix_halves(job, some, values + key / 2 * size, there, 3); break;
            default: mix_halves(job, some, values + key / 2 * size, there, 4);
        }
    }
    end(job, some, each, query, head);
}

// Pieces are heads times blocks of queries; a block of one head meets the same keys again and again.
static void attend_blocks(void *given) {
    attention *job = given;
    few *some = aligned_alloc(64, round_up(sizeof(few), 64));
    memset(some, 0, sizeof(few));
    some->places = aligned_alloc(64, (size_t)(ROWS * (job->width + 2 * LANES)) * sizeof(float));
    for (long piece; (piece = take(&job->work)) < job->work.total;) {
        long all = job->blocks[job->count], head = piece / all, block = piece % all, number = 0;
        while (block >= job->blocks[number + 1]) number++;
        const utterance *each = job->utterances + number;
        long from = (block - job->blocks[number]) * QUERIES;
        for (long query = from; query < smaller(from + QUERIES, each->frames); query += ROWS)
            (job->type == BF16 ? meet_halves : meet)(job, some, each, query, head);
    }
    free(some->places);
    free(some);
}

// Room for packed keys, or values, of one head, in frames.
long attention_frames(const int64_t *lengths, long count) {
    long frames = 0;
    for (long each = 0; each < count; each++) frames += round_up(lengths[each], STRIPE);
    return frames;
}

// `size` is a multiple of LANES up to MOST; `table` is (size, width), `width` a multiple of LANES.
// `keys` and `values` have room for heads x attention_frames x size numbers of `type`.
void attend(const void *joint, long type, const float *table, void *keys, void *values, void *out,
            long out_type, const int64_t *lengths, long count, long heads, long size, long distances,
            long left, long width, long threads) {
    utterance *utterances = malloc((size_t)count * sizeof(utterance));
    long *blocks = malloc((size_t)(count + 1) * sizeof(long));
    long begin = 0, packed = 0;
    blocks[0] = 0;
    for (long each = 0; each < count; each++) {
        utterances[each] = (utterance){begin, lengths[each], packed};
        blocks[each + 1] = blocks[each] + (lengths[each] + QUERIES - 1) / QUERIES;
        begin += lengths[each];
        packed += round_up(lengths[each], STRIPE);
    }
    attention job = {{count * heads, 0}, joint, (number)type, table, keys, values, out,
                     (number)out_type, utterances, blocks, count, heads, size, distances, left,
                     width, packed};
    on_threads(pack, &job, threads);
    job.work = (pieces){heads * blocks[count], 0};
    on_threads(attend_blocks, &job, threads);
    free(blocks);
    free(utterances);
}
