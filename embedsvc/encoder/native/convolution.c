// Depthwise convolution in time that looks only back, over utterances that lie one after the other.
#include "common.h"

enum { TIMES = 8, CHUNK = 128 };

typedef struct {
    pieces work;
    const float *states;    // (frames, channels)
    const float *kernel;    // (taps, channels); the last tap is the frame itself
    float *out;             // (frames, channels)
    const long *starts;     // (frames,): where the utterance of each frame begins
    long frames, channels, taps;
} convolution;

// One after the other in `near`: a channel's frames from `from` on. Rows of states are far apart, by
// a distance that maps them all to a few places of the cache.
INLINE void gather(const convolution *job, long from, long count, long channel, float *near) {
    __mmask16 lanes = first(job->channels - channel);
    for (long at = 0; at < count; at++) {
        __mmask16 here = from + at >= 0 ? lanes : 0;
        const float *state = job->states + (from + at) * job->channels + channel;
        _mm512_storeu_ps(near + at * LANES, _mm512_maskz_loadu_ps(here, state));
    }
}

// TIMES frames of 16 channels whose kernels begin at `near`; taps before `skip` meet another
// utterance, and have no part in it.
INLINE void sweep(const convolution *job, const float *near, long skip, long channel,
                  __m512 sums[TIMES]) {
    __mmask16 lanes = first(job->channels - channel);
    for (int time = 0; time < TIMES; time++) sums[time] = _mm512_setzero_ps();
    for (long tap = 0; tap < job->taps; tap++) {
        __m512 weight = _mm512_maskz_loadu_ps(lanes, job->kernel + tap * job->channels + channel);
        for (int time = 0; time < TIMES; time++) {
            __m512 state = _mm512_loadu_ps(near + (tap + time) * LANES);
            if (skip) state = _mm512_maskz_mov_ps(tap + time >= skip ? 0xffff : 0, state);
            sums[time] = _mm512_fmadd_ps(weight, state, sums[time]);
        }
    }
}

// Frames `at` to `end` of 16 channels; `near` begins a kernel before the first.
INLINE void sweep_channel(const convolution *job, const float *near, long at, long end,
                          long channel) {
    long before = job->taps - 1, count;
    for (long place = 0; at < end; at += count, place += count) {
        long start = job->starts[at];
        for (count = 1; count < TIMES && at + count < end; count++)
            if (job->starts[at + count] != start) break;
        __m512 sums[TIMES];
        if (at - before >= start)
            sweep(job, near + place * LANES, 0, channel, sums);
        else
            sweep(job, near + place * LANES, before - (at - start), channel, sums);
        for (int time = 0; time < count; time++) {
            float *out = job->out + (at + time) * job->channels + channel;
            _mm512_mask_storeu_ps(out, first(job->channels - channel), sums[time]);
        }
    }
}

static void sweep_chunks(void *given) {
    convolution *job = given;
    long before = job->taps - 1, room = before + CHUNK + TIMES;
    float *near = aligned_alloc(64, (size_t)(room * LANES) * sizeof(float));
    memset(near, 0, (size_t)(room * LANES) * sizeof(float));
    for (long piece; (piece = take(&job->work)) < job->work.total;) {
        long from = piece * CHUNK, end = smaller(from + CHUNK, job->frames);
        for (long channel = 0; channel < job->channels; channel += LANES) {
            gather(job, from - before, before + end - from, channel, near);
            sweep_channel(job, near, from, end, channel);
        }
    }
    free(near);
}

void convolve(const float *states, const float *kernel, float *out, const int64_t *lengths,
              long count, long frames, long channels, long taps, long threads) {
    long *starts = malloc((size_t)frames * sizeof(long));
    for (long each = 0, at = 0; each < count; each++)
        for (long start = at, end = at + lengths[each]; at < end; at++) starts[at] = start;
    convolution job = {{(frames + CHUNK - 1) / CHUNK, 0}, states, kernel, out, starts, frames,
                       channels, taps};
    on_threads(sweep_chunks, &job, threads);
    free(starts);
}
