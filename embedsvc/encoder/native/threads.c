// Runs a function on the threads that torch has already, so that no two pools fight for the cores.
#include "common.h"

typedef void (*team)(void (*)(void *), void *, unsigned, unsigned);

static team start;

// `parallel` is GOMP_parallel of the OpenMP library that torch loaded, or null for one thread.
void use_team(team parallel) { start = parallel; }

void on_threads(void (*run)(void *), void *work, long threads) {
    if (start && threads > 1)
        start(run, work, (unsigned)threads, 0);
    else
        run(work);
}
