// The best of many: of equal values, those that were offered first.
#include <stdlib.h>

#include "search.h"

static int is_worse(offer one, offer other) {
    return one.value < other.value || (one.value == other.value && one.place > other.place);
}

static void sink(offer *items, int64_t count, offer item) {
    int64_t at = 0;
    for (int64_t below = 1; below < count; below = 2 * at + 1) {
        if (below + 1 < count && is_worse(items[below + 1], items[below])) below++;
        if (!is_worse(items[below], item)) break;
        items[at] = items[below];
        at = below;
    }
    items[at] = item;
}

static void rise(offer *items, int64_t at, offer item) {
    for (; at && is_worse(item, items[(at - 1) / 2]); at = (at - 1) / 2)
        items[at] = items[(at - 1) / 2];
    items[at] = item;
}

// Places are offered in their order.
void heap_offer(heap *best, double value, int64_t place) {
    if (!(value > heap_least(best))) return;
    offer item = {value, place};
    if (best->count < best->most)
        rise(best->items, best->count++, item);
    else
        sink(best->items, best->count, item);
}

static int by_place(const void *one, const void *other) {
    int64_t first = ((const offer *)one)->place, second = ((const offer *)other)->place;
    return (first > second) - (first < second);
}

// The kept ones by their places, which ends the heap.
void heap_in_order(heap *best) {
    qsort(best->items, (size_t)best->count, sizeof *best->items, by_place);
}
